import { expect, it } from "vitest";
import { Interruption } from "../src/io.js";
import { ProcessIo } from "../src/process-io.js";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

it("hears the first signal and leaves the second, of whatever kind, to the system", () => {
  const listeners = (): readonly number[] =>
    signals.map((signal) => process.listenerCount(signal));
  const before = listeners();
  const { interrupted } = new ProcessIo();
  expect(listeners()).toEqual(before.map((count) => count + 1));
  const ours = process.listeners("SIGINT").at(-1);
  ours?.("SIGINT");
  expect(interrupted.reason).toBeInstanceOf(Interruption);
  expect(interrupted.reason).toMatchObject({ exitCode: 130, isHeard: true });
  expect(listeners()).toEqual(before);
});
