import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import {
  findByArgument,
  hasArgument,
  hasOption,
  identifyProcess,
  isAlive,
} from "../../src/vmm/process-identity.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

async function start(
  file: string,
  args: readonly string[],
): Promise<ChildProcess & { pid: number }> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"] });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child, "spawn");
  if (child.pid === undefined) throw new Error("no process");
  return child as ChildProcess & { pid: number };
}

it("identifies a live process, and no longer after its end", async () => {
  const child = await start("/bin/sleep", ["1000"]);
  const identity = await identifyProcess(child.pid);
  expect(identity?.pid).toBe(child.pid);
  expect(identity && (await isAlive(identity))).toBe(true);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await identifyProcess(child.pid)).toBeUndefined();
  expect(identity && (await isAlive(identity))).toBe(false);
});

it("tells a recycled pid by the start time", async () => {
  const child = await start("/bin/sleep", ["1000"]);
  const identity = await identifyProcess(child.pid);
  const earlier = {
    pid: child.pid,
    pidStartTicks: (identity?.pidStartTicks ?? 0) - 1,
  };
  expect(await isAlive(earlier)).toBe(false);
});

it("reads the start time behind a name with spaces and parentheses", async () => {
  const program = `${await temporaryDirectory()}/a) R 1 (b`;
  await copyFile("/bin/sleep", program);
  const child = await start(program, ["1000"]);
  const stat = await readFile(`/proc/${String(child.pid)}/stat`, "utf8");
  expect(stat).toContain("(a) R 1 (b)");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  expect((await identifyProcess(child.pid))?.pidStartTicks).toBe(
    Number(fields[19]),
  );
});

it("does not count a zombie as alive", async () => {
  // The shell's child ends; the program that replaces the shell never waits for it.
  const child = await start("/bin/sh", [
    "-c",
    "/bin/sleep 0 & echo $!; exec /bin/sleep 1000",
  ]);
  if (!child.stdout) throw new Error("no output");
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const pid = Number(line.toString());
  for (;;) {
    const stat = await readFile(`/proc/${String(pid)}/stat`, "utf8");
    if (/\) Z /.test(stat)) break;
    await sleep(5);
  }
  expect(await identifyProcess(pid)).toBeUndefined();
});

it("knows no process 0 and none beyond the largest pid", async () => {
  expect(await identifyProcess(0)).toBeUndefined();
  expect(await identifyProcess(2 ** 31)).toBeUndefined();
});

it("finds processes by one whole argument", async () => {
  const mark = `banger-mark-${String(process.pid)}`;
  const child = await start("/bin/sh", ["-c", "sleep 1000; true", mark, "x y"]);
  const other = await start("/bin/sh", [
    "-c",
    "sleep 1000; true",
    `${mark}-longer`,
  ]);
  const found = await findByArgument(mark);
  expect(found.map(({ pid }) => pid)).toEqual([child.pid]);
  expect(await hasArgument(child.pid, "x y")).toBe(true);
  expect(await hasArgument(child.pid, "x")).toBe(false);
  expect(await hasArgument(other.pid, mark)).toBe(false);
});

it("finds a process by its arguments whose first thread has ended", async () => {
  const mark = `banger-thread-${String(process.pid)}`;
  const script = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(1000)).start()
ctypes.CDLL(None).syscall(60, 0)
`;
  const child = await start("python3", ["-c", script, mark]);
  const stat = `/proc/${String(child.pid)}/stat`;
  while (!(await readFile(stat, "utf8")).includes(") Z ")) await sleep(5);
  expect((await findByArgument(mark)).map(({ pid }) => pid)).toEqual([
    child.pid,
  ]);
  expect(await hasArgument(child.pid, mark)).toBe(true);
});

it("knows an option by its name and the value behind it", () => {
  const args = ["vmm", "--id", "1", "--socket", "/a", "--last"];
  expect(hasOption(args, "--id", "1")).toBe(true);
  expect(hasOption(args, "--socket", "/a")).toBe(true);
  for (const [name, value] of [
    ...[["--id", "/a"] as const, ["vmm", "1"] as const],
    ...[["--last", ""] as const, ["--other", "1"] as const],
  ])
    expect(hasOption(args, name, value)).toBe(false);
});
