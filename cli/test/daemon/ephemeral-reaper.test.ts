import {
  OperationRegistry,
  type OperationContext,
  type VmId,
  type VmRecord,
  type VmService,
} from "@banger/core";
import { memoryLogger } from "@banger/core/testing";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { EphemeralReaper } from "../../src/daemon/ephemeral-reaper.js";
import { sampleVm } from "../sample-vm.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const id = "a".repeat(12) as VmId;
const ephemeral = sampleVm({
  ...{ id, name: "web" },
  spec: { ...sampleVm().spec, ephemeral: true },
});

/** Deletes end when the test says so. */
function reaperOf(vms: VmRecord[] = [ephemeral]) {
  const operations = new OperationRegistry({ logger: memoryLogger() });
  const deletes: { operation: OperationContext; end: () => void }[] = [];
  const sessions = { count: 0 };
  const reaper = new EphemeralReaper({
    vmStore: {
      find: (wanted) => Promise.resolve(vms.find((vm) => vm.id === wanted)),
    },
    vmService: {
      delete: (_vm: string, operation: OperationContext) =>
        new Promise<void>((resolve) => {
          deletes.push({ operation, end: resolve });
        }),
    } as unknown as VmService,
    operations,
    sessionsOf: () => sessions.count,
  });
  return { reaper, operations, deletes, sessions, vms };
}

it("deletes a VM that nobody uses, as an operation that is listed and waited for", async () => {
  const { reaper, operations, deletes } = reaperOf();
  await reaper.consider(id);
  await vi.advanceTimersByTimeAsync(14_999);
  expect(deletes).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(operations.list()).toMatchObject([
    { what: "delete web, which nobody uses", vm: id, state: "running" },
  ]);
  reaper.close();
  const end = operations.end(60_000);
  expect(deletes[0]?.operation.signal.aborted).toBe(true);
  deletes[0]?.end();
  await end;
  expect(operations.list()).toMatchObject([{ state: "done" }]);
});

it.each([
  ["has a session", { sessions: 1 }],
  ["was deleted by its owner", { isGone: true }],
  ["is considered when the daemon ends", { isClosed: true }],
])("leaves a VM alone that %s", async (_what, situation) => {
  const { reaper, operations, sessions, vms } = reaperOf();
  await reaper.consider(id);
  const {
    sessions: count,
    isGone,
    isClosed,
  } = {
    ...{ sessions: 0, isGone: false, isClosed: false },
    ...situation,
  };
  sessions.count = count;
  if (isGone) vms.length = 0;
  if (isClosed) reaper.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(operations.list()).toEqual([]);
});

it("lets an operation on the VM end first, such as the start of one that was stopped", async () => {
  const { reaper, operations, deletes } = reaperOf();
  let end = (): void => undefined;
  const start = operations.run(
    "start web",
    { vm: "web" },
    () => new Promise<void>((resolve) => (end = resolve)),
  );
  await reaper.consider(id);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(deletes).toHaveLength(0);
  end();
  await start;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(deletes).toHaveLength(1);
});

it("leaves VMs alone that are kept", async () => {
  const { reaper, operations } = reaperOf([
    sampleVm({ id, spec: { ...sampleVm().spec, ephemeral: false } }),
  ]);
  await reaper.consider(id);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(operations.list()).toEqual([]);
});

it("survives a delete that fails", async () => {
  const operations = new OperationRegistry({ logger: memoryLogger() });
  const reaper = new EphemeralReaper({
    vmStore: { find: () => Promise.resolve(ephemeral) },
    vmService: {
      delete: () => Promise.reject(new Error("no")),
    },
    operations,
    sessionsOf: () => 0,
  });
  await reaper.consider(id);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(operations.list()).toMatchObject([{ state: "failed" }]);
});
