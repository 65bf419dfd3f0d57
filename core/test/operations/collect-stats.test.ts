import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CancelledError, GuestConnectionError } from "@banger/core";
import { fakeDaemon, FakeHost, fakeOperation } from "@banger/core/testing";

const never = new AbortController().signal;

beforeEach(() => vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => vi.useRealTimers());

async function bench() {
  const host = new FakeHost();
  const daemon = fakeDaemon(host);
  const vm = await daemon.vmService.launch({}, fakeOperation());
  const { collectStats, vmService } = daemon;
  return { host, vm, collectStats, vmService };
}

describe("a look at a VM", () => {
  it("says what its VMM and guest use, and keeps it in the record", async () => {
    const { host, vm, collectStats, vmService } = await bench();
    const stats = await collectStats(vm, never);
    expect(stats).toMatchObject({
      residentBytes: host.vmm.used.residentBytes,
      diskBytes: await host.vmFiles.usedBytes(vm),
      guest: host.guestAgent.guestFacts,
    });
    expect(stats).not.toHaveProperty("cpuPercent");
    expect((await vmService.get(vm.id)).stats).toEqual(stats);
  });

  it("tells the CPU's share from two looks at the same process", async () => {
    const { host, vm, collectStats, vmService } = await bench();
    const share = async (): Promise<number | undefined> =>
      (await collectStats(await vmService.get(vm.id), never))?.cpuPercent;
    const use = (cpuMs: number, elapsedMs: number): void => {
      host.vmm.used = { ...host.vmm.used, cpuMs: host.vmm.used.cpuMs + cpuMs };
      vi.advanceTimersByTime(elapsedMs);
    };
    expect(await share()).toBeUndefined();
    use(500, 2_000);
    expect(await share()).toBeCloseTo(25);
    // Too soon to tell: what was seen last holds.
    use(100, 50);
    expect(await share()).toBeCloseTo(25);
    use(3_900, 950);
    expect(await share()).toBeCloseTo(400);

    await vmService.restart(vm.id, fakeOperation());
    use(10, 1_000);
    expect(await share()).toBeUndefined();
  });

  it("does without a guest that does not answer", async () => {
    const { host, vm, collectStats } = await bench();
    host.guestAgent.facts = () =>
      Promise.reject(new GuestConnectionError("x", "gone"));
    const stats = await collectStats(vm, never);
    expect(stats?.residentBytes).toBeGreaterThan(0);
    expect(stats).not.toHaveProperty("guest");
  });

  it("waits two seconds for the guest and no longer", async () => {
    vi.useFakeTimers();
    const { host, vm, collectStats } = await bench();
    host.guestAgent.facts = () => new Promise(() => undefined);
    const looking = collectStats(vm, never);
    await vi.advanceTimersByTimeAsync(2_100);
    expect(await looking).not.toHaveProperty("guest");
  });

  it("ends with its caller", async () => {
    const { host, vm, collectStats } = await bench();
    const cancel = new AbortController();
    host.guestAgent.facts = (_vm?: unknown, signal?: AbortSignal) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () =>
          reject(new CancelledError("x")),
        );
        cancel.abort();
      });
    await expect(collectStats(vm, cancel.signal)).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
  });

  it("finds nothing of a VM that does not run", async () => {
    const { host, vm, collectStats, vmService } = await bench();
    host.vmm.end(vm.id);
    expect(await collectStats(vm, never)).toBeUndefined();
    const stopped = await vmService.stop(vm.id, {}, fakeOperation());
    expect(await collectStats(stopped, never)).toBeUndefined();
    expect((await vmService.get(vm.id)).stats).toBeUndefined();
  });
});
