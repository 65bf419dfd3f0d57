import type { VmRecord } from "@banger/core";
import { fakeVm, fakeVmId, memoryLogger } from "@banger/core/testing";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { StatsPoller } from "../../src/daemon/stats-poller.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function vms(count: number, state: VmRecord["state"] = "running"): VmRecord[] {
  return Array.from({ length: count }, (_, index) =>
    fakeVm({ id: fakeVmId(index + 1), name: `vm-${String(index)}`, state }),
  );
}

/** A look that ends when it is told to, or is aborted. */
interface PendingLook {
  readonly name: string;
  readonly signal: AbortSignal;
  readonly end: () => void;
}

function setUp(list: readonly VmRecord[]) {
  const pending: PendingLook[] = [];
  const logger = memoryLogger();
  let listed = 0;
  const poller = new StatsPoller({
    vmStore: {
      list: () => {
        listed++;
        return Promise.resolve(list);
      },
    },
    collectStats: (vm, signal) =>
      new Promise((resolve) => {
        const end = (): void => {
          resolve(undefined);
        };
        pending.push({ name: vm.name, signal, end });
      }),
    logger,
    intervalMs: 10_000,
  });
  const names = (): string[] => pending.map(({ name }) => name);
  return { poller, pending, names, logger, listed: () => listed };
}

const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

it("looks at running VMs after every interval, and at no others", async () => {
  const list = [...vms(2), fakeVm({ id: fakeVmId(9), state: "stopped" })];
  const { poller, pending, names } = setUp(list);
  poller.start();
  await vi.advanceTimersByTimeAsync(9_999);
  expect(names()).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(names()).toEqual(["vm-0", "vm-1"]);
  for (const { end } of pending.splice(0)) end();
  await vi.advanceTimersByTimeAsync(9_999);
  expect(names()).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(names()).toEqual(["vm-0", "vm-1"]);
  for (const { end } of pending) end();
  await poller.close();
});

it("looks at a few at a time", async () => {
  const { poller, pending, names } = setUp(vms(9));
  const round = poller.poll();
  await settled();
  expect(names()).toHaveLength(4);
  pending[0]?.end();
  await settled();
  expect(names()).toHaveLength(5);
  while (names().length < 9) {
    for (const { end } of pending) end();
    await settled();
  }
  for (const { end } of pending) end();
  await round;
  expect(new Set(names()).size).toBe(9);
});

it("goes on with the others while one hangs, and does not look at that one twice", async () => {
  const { poller, pending, names } = setUp(vms(2));
  poller.start();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(names()).toEqual(["vm-0", "vm-1"]);
  pending[1]?.end();
  // The look at the first is given up on, and does not end.
  await vi.advanceTimersByTimeAsync(5_000);
  expect(pending[0]?.signal.aborted).toBe(true);
  expect(pending[1]?.signal.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(names()).toEqual(["vm-0", "vm-1", "vm-1"]);
  for (const { end } of pending) end();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(names()).toEqual(["vm-0", "vm-1", "vm-1", "vm-0", "vm-1"]);
  for (const { end } of pending) end();
  await poller.close();
});

it("ends what is under way when it is closed, and looks no more", async () => {
  const { poller, pending, names, listed } = setUp(vms(9));
  poller.start();
  await vi.advanceTimersByTimeAsync(10_000);
  let isClosed = false;
  const closing = poller.close().then(() => (isClosed = true));
  await settled();
  expect(pending.map(({ signal }) => signal.aborted)).toEqual(
    Array(4).fill(true),
  );
  expect(isClosed).toBe(false);
  for (const { end } of pending) end();
  await closing;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(names()).toHaveLength(4);
  expect(listed()).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

it("does not wait for a look that cannot be ended when it is closed", async () => {
  const { poller } = setUp(vms(1));
  poller.start();
  await vi.advanceTimersByTimeAsync(10_000);
  let isClosed = false;
  void poller.close().then(() => (isClosed = true));
  await vi.advanceTimersByTimeAsync(2_000);
  expect(isClosed).toBe(true);
});

it("survives VMs that cannot be listed or looked at", async () => {
  const logger = memoryLogger();
  const seen: string[] = [];
  let isBroken = true;
  const poller = new StatsPoller({
    vmStore: {
      list: () =>
        isBroken
          ? Promise.reject(new Error("no store"))
          : Promise.resolve(vms(2)),
    },
    collectStats: (vm) => {
      seen.push(vm.name);
      return Promise.reject(new Error("no guest"));
    },
    logger,
    intervalMs: 1_000,
  });
  poller.start();
  await vi.advanceTimersByTimeAsync(1_000);
  isBroken = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(seen).toEqual(["vm-0", "vm-1"]);
  expect(logger.entries).toMatchObject([
    { level: "error", message: "Running VMs could not be listed" },
    { level: "warn", fields: { vmId: fakeVmId(1) } },
    { level: "warn", fields: { vmId: fakeVmId(2) } },
  ]);
  await poller.close();
});
