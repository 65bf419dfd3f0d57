import { expect, it } from "vitest";
import { readExit } from "../../src/guest-ssh/exit-status.js";

it.each([
  [0, undefined, { exitCode: 0 }],
  [255, undefined, { exitCode: 255 }],
  [256, undefined, { exitCode: 255 }],
  [-1, undefined, { exitCode: 255 }],
  [4_294_967_295, undefined, { exitCode: 255 }],
  [null, "SIGTERM", { signal: "SIGTERM" }],
  [null, "SIG\u001b[31m", { exitCode: 255 }],
  [null, "toString", { exitCode: 255 }],
  [null, "SIGcore", { exitCode: 255 }],
])("an end with %s and %s reads %o", (code, signal, exit) => {
  expect(readExit(code, signal)).toEqual(exit);
});
