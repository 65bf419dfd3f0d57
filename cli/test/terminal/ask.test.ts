import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { Interruption, type Io } from "../../src/io.js";
import { askYesOrNo } from "../../src/terminal/ask.js";

it("stops asking when the process is to end, and gives the terminal back", async () => {
  const abort = new AbortController();
  const raw: boolean[] = [];
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (on: boolean) => raw.push(on),
  });
  const io: Io = {
    ...{ stdin, stdout: new PassThrough(), stderr: new PassThrough() },
    ...{ env: {}, cwd: "/", interrupted: abort.signal },
  };
  const asking = askYesOrNo(io, "Really? ");
  io.stderr.once("data", () => {
    abort.abort(new Interruption("SIGTERM", 143));
  });
  await expect(asking).rejects.toMatchObject({ exitCode: 143 });
  expect(raw).toEqual([true, false]);
});
