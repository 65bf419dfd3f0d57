import { expect, it } from "vitest";
import { PortUnavailableError } from "@banger/core";

it.each([
  ["busy", "127.77.0.1:80 is in use by another program", "sport = :80"],
  [
    "privileged",
    "127.77.0.1:80 is a port that only root may listen on",
    "higher port",
  ],
  ["foreign", "127.77.0.1:80 is not an address of this host", "--address"],
] as const)("a %s port has a hint that helps", (trouble, message, hint) => {
  const error = new PortUnavailableError("127.77.0.1", 80, trouble);
  expect(error.message).toBe(message);
  expect(error.hint).toContain(hint);
});
