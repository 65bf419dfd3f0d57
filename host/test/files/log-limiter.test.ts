import { mkdir, stat, truncate, writeFile } from "node:fs/promises";
import {
  fakeVm,
  fakeVmId,
  FakeVmStore,
  memoryLogger,
} from "@banger/core/testing";
import { expect, it } from "vitest";
import { LogLimiter } from "../../src/files/log-limiter.js";
import { temporaryDirectory } from "./temporary-directory.js";

it("empties what is too large, whatever is wrong with other logs", async () => {
  const home = await temporaryDirectory();
  const vms = ["broken", "never-started", "loud"].map((name, index) =>
    fakeVm({
      id: fakeVmId(index + 1),
      name,
      runtime: { directory: `${home}/${name}`, prepared: true },
    }),
  );
  // A file in the place of a directory.
  await writeFile(`${home}/broken`, "");
  await mkdir(`${home}/loud`);
  const [console, vmm] = [`${home}/loud/console.log`, `${home}/loud/vmm.log`];
  await writeFile(console, Buffer.alloc(17 * 2 ** 20, "x"));
  await writeFile(vmm, "quiet");
  const logger = memoryLogger();
  await new LogLimiter({ vmStore: new FakeVmStore(vms), logger }).check();
  expect((await stat(console)).size).toBe(0);
  expect((await stat(vmm)).size).toBe(5);
  const levels = logger.entries.map(({ level }) => level);
  expect(levels).toEqual([...Array<string>(4).fill("error"), "warn"]);
});

it("empties what Firecracker writes, and does not count the hole that is left", async () => {
  const home = await temporaryDirectory();
  const vm = fakeVm({ state: "running", runtime: { directory: home } });
  const logs = ["firecracker.log", "firecracker.metrics"].map(
    (name) => `${home}/${name}`,
  );
  for (const log of logs) await writeFile(log, Buffer.alloc(17 * 2 ** 20, "x"));
  const logger = memoryLogger();
  const limiter = new LogLimiter({ vmStore: new FakeVmStore([vm]), logger });
  await limiter.check();
  for (const log of logs) {
    expect((await stat(log)).size).toBe(0);
    // As a writer does that goes on where it was.
    await truncate(log, 17 * 2 ** 20);
    await writeFile(log, "a line\n", { flag: "a" });
  }
  await limiter.check();
  expect(logger.entries).toHaveLength(2);
  for (const log of logs)
    expect((await stat(log)).size).toBeGreaterThan(17 * 2 ** 20);
});

it("leaves the logs of VMs alone that no VMM writes", async () => {
  const home = await temporaryDirectory();
  const vm = fakeVm({ state: "stopped", runtime: { directory: home } });
  const log = `${home}/console.log`;
  await writeFile(log, Buffer.alloc(17 * 2 ** 20, "x"));
  const vmStore = new FakeVmStore([vm]);
  await new LogLimiter({ vmStore, logger: memoryLogger() }).check();
  expect((await stat(log)).size).toBe(17 * 2 ** 20);
});
