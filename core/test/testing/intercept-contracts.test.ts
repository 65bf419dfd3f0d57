import { describe, expect, it } from "vitest";
import {
  asFunction,
  createRoot,
  macAddress,
  type VmHandles,
} from "@banger/core";
import {
  FakeHost,
  FakeNetwork,
  fakeVm,
  FakeVmStore,
  interceptContract,
  interceptContracts,
  type ContractInterceptor,
} from "@banger/core/testing";

/** Writes down every call on its way in and out. */
function recorder() {
  const log: string[] = [];
  const interceptor: ContractInterceptor = {
    call: async (name, work) => {
      log.push(`> ${name}`);
      const value = await work();
      log.push(`< ${name}`);
      return value;
    },
  };
  return { log, interceptor };
}

describe("interceptContract", () => {
  it("stands before and after calls, and lets pure methods and fields through", async () => {
    const { log, interceptor } = recorder();
    const bare = new FakeNetwork({ mode: "bridge" });
    const network = interceptContract("network", bare, interceptor);
    await network.prepare(fakeVm(), AbortSignal.timeout(1_000));
    expect(log).toEqual(["> network.prepare", "< network.prepare"]);
    expect(bare.prepared).toEqual(new Set([fakeVm().id]));
    expect(network.mode).toBe("bridge");
    expect(network.nic(fakeVm()).mac).toBe(macAddress(fakeVm().id));
    expect(log).toHaveLength(2);
  });

  it("keeps private fields and instanceof", async () => {
    const { interceptor } = recorder();
    const store = interceptContract(
      "vmStore",
      new FakeVmStore([fakeVm()]),
      interceptor,
    );
    expect(await store.find(fakeVm().id)).toEqual(fakeVm());
    expect(store).toBeInstanceOf(FakeVmStore);
  });

  it("hands what the call throws on, also when the method throws at once", async () => {
    const { interceptor } = recorder();
    const keys = interceptContract(
      "guestKeys",
      {
        authorizedKey: () => {
          throw new Error("no key");
        },
        hostKey: () => Promise.reject(new Error("no host key")),
      },
      interceptor,
    );
    await expect(keys.authorizedKey()).rejects.toThrow("no key");
    await expect(keys.hostKey(fakeVm())).rejects.toThrow("no host key");
  });

  it("reaches the drivers that a getter returns, apart from waits", async () => {
    const { log, interceptor } = recorder();
    const host = new FakeHost();
    const drivers = interceptContract(
      "vmmDrivers",
      host.vmmDrivers,
      interceptor,
    );
    const driver = drivers.get("fake");
    const handles: VmHandles = { pid: 1, pidStartTicks: 1 };
    await driver.kill(fakeVm(), undefined);
    await driver.waitForExit(handles, AbortSignal.abort());
    expect(driver.id).toBe("fake");
    expect(log).toEqual(["> vmmDriver.kill", "< vmmDriver.kill"]);
  });
});

describe("interceptContracts", () => {
  it("replaces every contract of a container, and disposes of the bare implementation", async () => {
    const { log, interceptor } = recorder();
    const disposed: unknown[] = [];
    const store = new FakeVmStore();
    const root = createRoot();
    root.register({
      vmStore: asFunction(() => store)
        .singleton()
        .disposer((value) => void disposed.push(value)),
    });
    interceptContracts(root, interceptor);
    expect(root.cradle.vmStore).toBe(root.cradle.vmStore);
    await root.cradle.vmStore.list();
    expect(log).toEqual(["> vmStore.list", "< vmStore.list"]);
    await root.dispose();
    expect(disposed).toEqual([store]);
  });

  it("refuses a container whose bare contracts somebody has already", () => {
    const root = createRoot();
    root.register({ vmStore: asFunction(() => new FakeVmStore()).singleton() });
    expect(root.cradle.vmStore).toBeInstanceOf(FakeVmStore);
    expect(() => interceptContracts(root, recorder().interceptor)).toThrow(
      "vmStore is resolved already",
    );
  });
});
