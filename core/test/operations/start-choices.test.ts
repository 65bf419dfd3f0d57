import { expect, it } from "vitest";
import type { VmmRequest, VmRecord, VmRuntime } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakeThings,
} from "@banger/core/testing";

function bench() {
  const host = new FakeHost();
  const requests: VmmRequest[] = [];
  const { choose } = host.vmmDrivers;
  host.vmmDrivers.choose = (request, image, operation) => {
    requests.push(request);
    return choose(request, image, operation);
  };
  const { vmService } = fakeDaemon(host);
  const recorded = async (id: VmRecord["id"]): Promise<VmRuntime> => {
    const vm = await host.vmStore.find(id);
    if (!vm) throw new Error(`there is no row ${id}`);
    return vm.runtime;
  };
  return { host, vmService, requests, recorded };
}

it("asks for a driver by what the VM needs, from the second start on with its disk's format", async () => {
  const { vmService, requests } = bench();
  const { id } = await vmService.launch({ accel: "kvm" }, fakeOperation());
  await vmService.restart(id, fakeOperation());
  const first = { driver: "auto", accel: "kvm", nic: "user" };
  expect(requests).toEqual([first, { ...first, diskFormat: "qcow2" }]);
});

it("tells the network what the VMM is called before that names anything, and records what it names before it is made", async () => {
  const { host, vmService, recorded } = bench();
  const jails: (string | undefined)[] = [];
  host.network.names = ({ runtime }) => {
    jails.push(runtime.jailDirectory);
    return { tapDevice: `tap-otter-${String(jails.length)}` };
  };
  const { prepare } = host.network;
  const taps: (string | undefined)[] = [];
  host.network.prepare = async (vm) => {
    taps.push((await recorded(vm.id)).tapDevice);
    await prepare.call(host.network, vm);
  };
  const { id } = await vmService.launch({}, fakeOperation());
  await vmService.restart(id, fakeOperation());
  expect(jails).toEqual([fakeThings.jail(id), fakeThings.jail(id)]);
  expect(taps).toEqual(["tap-otter-1", "tap-otter-2"]);
});

it("records what the driver and the disk are called before they are made", async () => {
  const { host, vmService, recorded } = bench();
  const { ensure } = host.rootDisks;
  const seen: VmRuntime[] = [];
  host.rootDisks.ensure = async (vm, image, record, signal) => {
    seen.push(await recorded(vm.id));
    await ensure(
      vm,
      image,
      async (names) => {
        await record(names);
        seen.push(await recorded(vm.id));
      },
      signal,
    );
  };
  const { id } = await vmService.launch({}, fakeOperation());
  const [before, after] = seen;
  expect(before).toMatchObject({
    driver: "fake",
    rootDisk: "qcow2",
    jailDirectory: fakeThings.jail(id),
    prepared: true,
  });
  expect(before).not.toHaveProperty("baseLoop");
  expect(after).toMatchObject({ baseLoop: fakeThings.loop(id) });
});

it("forgets the names with what they named, and keeps how the disk was made", async () => {
  const { host, vmService, recorded } = bench();
  const { id } = await vmService.launch({}, fakeOperation());
  await vmService.stop(id, {}, fakeOperation());
  const runtime = await recorded(id);
  expect(runtime).not.toHaveProperty("baseLoop");
  expect(runtime).not.toHaveProperty("jailDirectory");
  expect(runtime.rootDisk).toBe("qcow2");
  expect(host.inventory()).toEqual([
    fakeThings.directory(id),
    fakeThings.rootDisk(id),
  ]);
});

it("removes what an earlier run left before it gives new names", async () => {
  const { host, vmService, recorded } = bench();
  const { id } = await vmService.launch({}, fakeOperation());
  host.calls.expect({ at: 1, call: "rootDisks.release", moment: "before" });
  await expect(vmService.stop(id, {}, fakeOperation())).rejects.toMatchObject({
    code: "ERR_SEVERAL",
  });
  expect(await recorded(id)).toMatchObject({
    prepared: true,
    baseLoop: fakeThings.loop(id),
  });
  // The next run's device has another number.
  const { ensure } = host.rootDisks;
  host.rootDisks.ensure = (vm, image, record, signal) =>
    ensure(vm, image, () => record({ baseLoop: "loop other" }), signal);
  host.calls.expect();
  await vmService.start(id, fakeOperation());
  const { log } = host.calls;
  expect(log.indexOf("rootDisks.release")).toBeGreaterThan(-1);
  expect(log.indexOf("rootDisks.release")).toBeLessThan(
    log.indexOf("rootDisks.ensure"),
  );
});

it("refuses a start that would forget the name of what an earlier run left", async () => {
  const { host, vmService, recorded } = bench();
  const { id } = await vmService.launch({}, fakeOperation());
  const { kill, names } = host.vmm;
  host.vmm.kill = () => Promise.reject(new Error("busy"));
  await expect(vmService.stop(id, {}, fakeOperation())).rejects.toMatchObject({
    code: "ERR_SEVERAL",
  });
  host.vmm.end(id);
  // The jails are elsewhere by now.
  host.vmm.names = () => ({ jailDirectory: "jail elsewhere" });
  await expect(vmService.start(id, fakeOperation())).rejects.toMatchObject({
    code: "ERR_SEVERAL",
    message: expect.stringContaining("of an earlier run") as string,
  });
  expect((await recorded(id)).jailDirectory).toBe(fakeThings.jail(id));
  expect(host.vmm.launches).toHaveLength(1);
  // Under the old name it may start all the same, and once the rest can be removed under any.
  host.vmm.names = names;
  await vmService.start(id, fakeOperation());
  host.vmm.kill = kill;
  await vmService.delete(id, fakeOperation());
  expect(host.inventory()).toEqual([]);
});

it("does not take a disk for made because a failed start had chosen it", async () => {
  const { host, vmService, requests } = bench();
  const { id } = await vmService.create({}, fakeOperation());
  host.calls.expect({ at: 1, call: "rootDisks.ensure", moment: "before" });
  await expect(vmService.start(id, fakeOperation())).rejects.toMatchObject({
    code: "INJECTED_FAILURE",
  });
  host.calls.expect();
  await vmService.start(id, fakeOperation());
  expect(requests).toHaveLength(2);
  for (const request of requests)
    expect(request).not.toHaveProperty("diskFormat");
});

it("refuses a driver that this install does not have before there is a VM", async () => {
  const { host, vmService } = bench();
  await expect(
    vmService.launch({ driver: "xen" }, fakeOperation()),
  ).rejects.toThrow("there is no VMM driver xen");
  expect(await host.vmStore.list()).toEqual([]);
});
