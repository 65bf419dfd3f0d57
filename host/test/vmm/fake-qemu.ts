import { writeFile } from "node:fs/promises";
import type { CommandRunner } from "@banger/core";
import { fakeVm, fakeVmId } from "@banger/core/testing";
import type { VmRecord } from "@banger/core";
import { onTestFinished } from "vitest";
import { findByArgument } from "../../src/vmm/process-identity.js";
import { qmpArgument } from "../../src/vmm/qemu-arguments.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

/** What the fake does once it runs; each waits to be killed unless it says otherwise. */
export const behaviours = {
  /** says `inmigrate` once, then that the guest runs */
  running: `
    let asked = 0;
    serve((command) => ({ return: command === "query-status" ? { running: ++asked > 1 } : {} }));`,
  /** prints many lines and ends */
  exits: `
    for (let line = 1; line <= 15; line++) console.error("line " + line);
    console.error("qemu-system-x86_64: cannot do it\\n");
    process.exit(1);`,
  /** never opens its monitor */
  silent: ``,
  /** opens its monitor and never lets the guest run */
  paused: `serve(() => ({ return: { running: false } }));`,
  /** the monitor refuses everything */
  refuses: `serve(() => ({ error: { class: "GenericError", desc: "no" } }));`,
} as const;

const prelude = `
  const { createServer } = require("node:net");
  const argv = process.argv.slice(2);
  const path = /^unix:(.*),server=on,wait=off$/.exec(argv[argv.indexOf("-qmp") + 1])[1];
  const serve = (answer) => createServer((socket) => {
    socket.on("error", () => {});
    socket.write('{"QMP": {}}\\n{"event": "RESUME"}\\n');
    socket.on("data", (chunk) => {
      for (const line of chunk.toString().trim().split("\\n"))
        socket.write(JSON.stringify(answer(JSON.parse(line).execute)) + "\\n");
    });
  }).listen(path);
  setInterval(() => {}, 1000);
`;

/** A VM with directories, and a program that plays QEMU for it; whatever of it is left is ended after the test. */
export async function fakeQemu(
  behaviour: keyof typeof behaviours,
): Promise<{ vm: VmRecord; commands: CommandRunner; program: string }> {
  const directory = await temporaryDirectory();
  const program = `${directory}/qemu-system-x86_64`;
  const script = `#!${process.execPath}\n${prelude}\n${behaviours[behaviour]}\n`;
  await writeFile(program, script, { mode: 0o755 });
  const vm = fakeVm({
    id: fakeVmId(7),
    runtime: { directory, runDirectory: directory },
  });
  onTestFinished(async () => {
    for (const { pid } of await findByArgument(qmpArgument(vm)))
      process.kill(pid, "SIGKILL");
  });
  const commands: CommandRunner = {
    find: (name) =>
      Promise.resolve(name === "qemu-system-x86_64" ? program : undefined),
    run: () => Promise.reject(new Error("the driver runs no commands")),
  };
  return { vm, commands, program };
}
