import { spawn } from "node:child_process";
import { truncate, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { readQemuIo } from "../../src/vmm/qemu-io.js";
import { qmpCommand } from "../../src/vmm/qmp-client.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { eachCommand, fakeMonitor, greeting } from "./fake-monitor.js";

const never = new AbortController().signal;

/** A QEMU with a disk from which its firmware has read the boot sector; returns its monitor. */
async function realQemu(): Promise<string> {
  const directory = await temporaryDirectory();
  const [disk, socket] = [`${directory}/disk`, `${directory}/qmp.sock`];
  await writeFile(disk, "");
  await truncate(disk, 2 ** 20);
  const program = await new ExecaCommandRunner().find("qemu-system-x86_64");
  if (program === undefined) throw new Error("QEMU is not installed");
  const child = spawn(
    program,
    [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-m", "32M"],
      ...["-blockdev", `node-name=d,driver=file,filename=${disk}`],
      ...["-device", "virtio-blk-pci,drive=d"],
      ...["-qmp", `unix:${socket},server=on,wait=off`],
    ],
    { stdio: "ignore" },
  );
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return socket;
}

it("counts what a real QEMU's guest has read, for several who ask at once", async () => {
  const socket = await realQemu();
  let io = await readQemuIo(socket, never);
  // The firmware takes a moment.
  while ((io?.diskReadBytes ?? 0) === 0) {
    await sleep(50);
    io = await readQemuIo(socket, never);
  }
  expect(io).toEqual({
    diskReadBytes: expect.any(Number) as number,
    diskWrittenBytes: 0,
  });
  const all = await Promise.all([
    readQemuIo(socket, never),
    qmpCommand(socket, "query-status", never),
    readQemuIo(socket, never),
  ]);
  expect(all[1]).toMatchObject({ running: true });
  expect(all[0]).toBeDefined();
  expect(all[2]).toBeDefined();
}, 60_000);

it("is absent when nobody listens, answers in time, or sensibly", async () => {
  expect(await readQemuIo("/nonexistent/qmp.sock", never)).toBeUndefined();
  const silent = await fakeMonitor(() => undefined);
  expect(await readQemuIo(silent, never)).toBeUndefined();
  expect(await readQemuIo(silent, AbortSignal.abort())).toBeUndefined();
  for (const answer of [null, {}, [{}], [{ stats: { rd_bytes: -1 } }]]) {
    const path = await fakeMonitor((socket) => {
      socket.write(greeting);
      eachCommand(socket, (command) => {
        const isOurs = command === "query-blockstats";
        socket.write(`${JSON.stringify({ return: isOurs ? answer : {} })}\n`);
      });
    });
    expect(await readQemuIo(path, never)).toBeUndefined();
  }
});
