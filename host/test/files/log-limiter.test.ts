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
  await writeFile(console, "x");
  await truncate(console, 17 * 2 ** 20);
  await writeFile(vmm, "quiet");
  const logger = memoryLogger();
  await new LogLimiter({ vmStore: new FakeVmStore(vms), logger }).check();
  expect((await stat(console)).size).toBe(0);
  expect((await stat(vmm)).size).toBe(5);
  const levels = logger.entries.map(({ level }) => level);
  expect(levels).toEqual(["error", "error", "warn"]);
});

it("leaves the logs of VMs alone that no VMM writes", async () => {
  const home = await temporaryDirectory();
  const vm = fakeVm({ state: "stopped", runtime: { directory: home } });
  const log = `${home}/console.log`;
  await writeFile(log, "x");
  await truncate(log, 17 * 2 ** 20);
  const vmStore = new FakeVmStore([vm]);
  await new LogLimiter({ vmStore, logger: memoryLogger() }).check();
  expect((await stat(log)).size).toBe(17 * 2 ** 20);
});
