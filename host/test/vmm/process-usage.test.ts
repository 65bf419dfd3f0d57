import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it, onTestFinished } from "vitest";
import { identifyProcess } from "../../src/vmm/process-identity.js";
import { usageOf } from "../../src/vmm/process-usage.js";

/** A process that has used CPU time in a thread of its own, and holds memory. */
const script = `
  const { Worker } = require("node:worker_threads");
  const held = Buffer.alloc(64 * 2 ** 20, 1);
  const busy = "const end = process.cpuUsage().user + 3e5; while (process.cpuUsage().user < end);";
  new Worker(busy, { eval: true }).on("exit", () => console.log("ready"));
  setInterval(() => held.length, 1000);
`;

it("counts CPU time of all threads and the memory", async () => {
  const child = spawn(process.execPath, ["-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child.stdout, "data");
  const identity = await identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error("no process");
  const usage = await usageOf(identity);
  expect(usage?.cpuMs).toBeGreaterThanOrEqual(300);
  expect(usage?.residentBytes).toBeGreaterThan(64 * 2 ** 20);
  expect(usage?.residentBytes).toBeLessThan(2 ** 30);

  const recycled = { ...identity, pidStartTicks: identity.pidStartTicks - 1 };
  expect(await usageOf(recycled)).toBeUndefined();
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await usageOf(identity)).toBeUndefined();
});
