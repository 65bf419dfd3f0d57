import { setImmediate } from "node:timers/promises";
import { VmGoneError, type VmId, type VmRecord } from "@banger/core";
import { fakeVm, fakeVmId, memoryLogger } from "@banger/core/testing";
import { expect, it } from "vitest";
import { UseRecorder } from "../../src/daemon/use-recorder.js";

function setUp() {
  const pending: { id: VmId; settle: (vm: VmRecord | Error) => void }[] = [];
  const logger = memoryLogger();
  const recorder = new UseRecorder({
    touchVm: ({ id }) =>
      new Promise((resolve, reject) => {
        const settle = (vm: VmRecord | Error): void => {
          if (vm instanceof Error) reject(vm);
          else resolve(vm);
        };
        pending.push({ id, settle });
      }),
    logger,
  });
  return { recorder, pending, logger };
}

const [one, two] = [fakeVmId(1), fakeVmId(2)];

it("writes a use later, not while it begins", async () => {
  const { recorder, pending } = setUp();
  recorder.used(one);
  await Promise.resolve();
  expect(pending).toEqual([]);
  await setImmediate();
  expect(pending.map(({ id }) => id)).toEqual([one]);
  pending[0]?.settle(fakeVm());
  await recorder.close();
});

it("writes uses that come meanwhile once, after it, and each VM's by itself", async () => {
  const { recorder, pending } = setUp();
  recorder.used(one);
  await setImmediate();
  for (const id of [one, one, two, one]) recorder.used(id);
  await setImmediate();
  expect(pending.map(({ id }) => id)).toEqual([one, two]);
  pending[0]?.settle(fakeVm());
  await setImmediate();
  expect(pending.map(({ id }) => id)).toEqual([one, two, one]);
  let isClosed = false;
  const closing = recorder.close().then(() => (isClosed = true));
  pending[1]?.settle(fakeVm());
  await setImmediate();
  expect(isClosed).toBe(false);
  pending[2]?.settle(fakeVm());
  await closing;
  expect(pending).toHaveLength(3);
});

it("says what went wrong, unless the VM is gone, and writes again", async () => {
  const { recorder, pending, logger } = setUp();
  recorder.used(one);
  await setImmediate();
  pending[0]?.settle(new VmGoneError(one));
  await recorder.close();
  expect(logger.entries).toEqual([]);
  recorder.used(one);
  await setImmediate();
  pending[1]?.settle(new Error("no store"));
  await recorder.close();
  expect(logger.entries).toMatchObject([
    { level: "warn", fields: { vmId: one } },
  ]);
  recorder.used(one);
  await setImmediate();
  expect(pending).toHaveLength(3);
  pending[2]?.settle(fakeVm());
});
