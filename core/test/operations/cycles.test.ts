import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OperationContext, VmService } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
} from "@banger/core/testing";

const cycles = 200;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** One VM from its beginning to its end. */
type Cycle = (
  service: VmService,
  begin: () => OperationContext,
) => Promise<object>;

const kinds: Readonly<Record<string, Cycle>> = {
  "create and delete": async (service, begin) => {
    const vm = await service.create({}, begin());
    await service.delete(vm.id, begin());
    return vm;
  },
  "launch and delete": async (service, begin) => {
    const vm = await service.launch({}, begin());
    await service.delete(vm.id, begin());
    return vm;
  },
  "launch, stop, start, kill and delete": async (service, begin) => {
    const vm = await service.launch({}, begin());
    await service.stop(vm.id, {}, begin());
    await service.start(vm.id, begin());
    await service.kill(vm.id, "TERM", begin());
    await service.delete(vm.id, begin());
    return vm;
  },
  "a launch that is cancelled": async (service, begin) => {
    const aborts = new AbortController();
    const operation = { ...begin(), signal: aborts.signal };
    const launched = service.launch({}, operation).catch(() => undefined);
    await setImmediate();
    aborts.abort();
    const vm = await launched;
    if (vm) await service.delete(vm.id, begin());
    return operation;
  },
};

function bench() {
  const host = new FakeHost();
  const { vmService } = fakeDaemon(host, { plugins: [fakePlugin(host)] });
  /** What the fakes write down of calls is not the operations'. */
  const forget = (): void => {
    host.calls.expect();
    host.vmm.launches.length = 0;
    host.commands.commands.length = 0;
  };
  return { host, vmService, forget };
}

const listeners = (): number =>
  process
    .eventNames()
    .reduce((sum, name) => sum + process.listenerCount(name), 0);

/** What is open, apart from timers: the test runner has some of its own, and ours are counted as fake ones. */
const handles = (): number =>
  process
    .getActiveResourcesInfo()
    .filter((kind) => kind !== "Timeout" && kind !== "Immediate").length;

beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }),
);
afterEach(() => void vi.useRealTimers());

describe.each(Object.entries(kinds))("%s, 200 times", (_name, cycle) => {
  it("leaves things, rows, listeners and timers as they were", async () => {
    const { host, vmService } = bench();
    const before = { listeners: listeners(), handles: handles() };
    for (let done = 0; done < cycles; done++)
      await cycle(vmService, fakeOperation);
    await vmService.close();
    expect(host.inventory()).toEqual([]);
    expect(await vmService.list()).toEqual([]);
    expect({ listeners: listeners(), handles: handles() }).toEqual(before);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("keeps no VM and no operation in memory", async () => {
    const { vmService, forget } = bench();
    const refs: WeakRef<object>[] = [];
    const begin = (): OperationContext => {
      const operation = fakeOperation();
      refs.push(new WeakRef(operation), new WeakRef(operation.signal));
      return operation;
    };
    for (let done = 0; done < cycles; done++)
      refs.push(new WeakRef(await cycle(vmService, begin)));
    forget();
    // References are kept until the job that made them is over.
    await setImmediate();
    collectGarbage();
    const kept = refs.filter((ref) => ref.deref() !== undefined);
    // Of the last cycle something may be on the stack still.
    expect(kept.length).toBeLessThan(20);
    // The service is there still, so what it holds would be too.
    expect(await vmService.list()).toEqual([]);
  });
});
