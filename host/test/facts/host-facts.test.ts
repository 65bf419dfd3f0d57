import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { readHostFacts } from "../../src/facts/host-facts.js";

it("says what the system's own tools say", () => {
  const facts = readHostFacts();
  const ask = (file: string, ...args: string[]): string =>
    execFileSync(file, args, { encoding: "utf8" }).trim();
  const [, totalKiB] =
    /^MemTotal:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  expect(facts.memoryMiB).toBe(Math.floor(Number(totalKiB) / 1024));
  expect(facts.architecture).toBe(ask("uname", "-m"));
  expect(facts.cpus).toBe(Number(ask("nproc")));
  expect(facts.isRoot).toBe(ask("id", "-u") === "0");
  expect(facts.homeDirectory).toMatch(/^\//);
});
