import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { endBuild } from "../../src/images/end-build.js";
import {
  identifyProcess,
  isAlive,
  type ProcessIdentity,
} from "../../src/vmm/process-identity.js";

const work = `/var/tmp/banger-build-test-${randomBytes(6).toString("hex")}`;

async function start(
  program: string,
  args: readonly string[],
  detached: boolean,
): Promise<ProcessIdentity> {
  const child = spawn(program, args, { detached, stdio: "ignore" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child, "spawn");
  const identity = await identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error("no process");
  return identity;
}

const waits = `sleep 1000; : ${work}/root.tar`;
const script = `setInterval(() => "${work}", 1000)`;

it("ends the programs of a build with all that they started, and nobody else's", async () => {
  const ours = await start("/bin/sh", ["-c", waits], true);
  const watcher = await start(process.execPath, ["-e", script], true);
  // As a user's own tar in a shell's group, which is here the test's own.
  const users = await start("/bin/sh", ["-c", waits], false);
  const other = await start("/bin/sh", ["-c", "sleep 1000; : x"], true);
  await endBuild(work);
  await endBuild(work);
  const alive = await Promise.all([ours, watcher, users, other].map(isAlive));
  expect(alive).toEqual([false, true, true, true]);
});
