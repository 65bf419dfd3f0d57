import { describe, expect, it, vi } from "vitest";
import type { VmRecord, VmService } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
} from "@banger/core/testing";

function bench() {
  const host = new FakeHost();
  const { vmService } = fakeDaemon(host, { plugins: [fakePlugin(host)] });
  const boots = () =>
    vi.waitFor(() => expect(host.calls.log).toContain("guestAgent.waitReady"));
  return { host, vmService, boots };
}

/** A stopped VM whose start hangs in its boot. */
async function starting() {
  const { host, vmService, boots } = bench();
  const { id } = await vmService.launch({}, fakeOperation());
  await vmService.stop(id, {}, fakeOperation());
  host.guestAgent.behaviour = "hangs";
  host.calls.expect();
  const start = vmService.start(id, fakeOperation());
  // Looked at below; until then it is no unhandled rejection.
  start.catch(() => undefined);
  await boots();
  return { host, vmService, id, start };
}

/** A launch that hangs in its boot. */
async function launching() {
  const { host, vmService, boots } = bench();
  host.guestAgent.behaviour = "hangs";
  const launch = vmService.launch({ name: "otter" }, fakeOperation());
  launch.catch(() => undefined);
  await boots();
  return { host, vmService, launch };
}

type End = (vmService: VmService, reference: string) => Promise<VmRecord>;
const stop: End = (vmService, reference) =>
  vmService.stop(reference, {}, fakeOperation());
const kill: End = (vmService, reference) =>
  vmService.kill(reference, "TERM", fakeOperation());
const remove: End = (vmService, reference) =>
  vmService.delete(reference, fakeOperation());

describe("a start under way", () => {
  it.each([
    ["stop", stop],
    ["kill", kill],
  ])("is cancelled by a %s, which leaves the VM stopped", async (by, end) => {
    const { host, vmService, id, start } = await starting();
    expect((await end(vmService, id)).state).toBe("stopped");
    await expect(start).rejects.toMatchObject({
      code: "ERR_CANCELLED",
      message: expect.stringContaining(`was cancelled by ${by} (op-`) as string,
    });
    expect(host.inventory()).toEqual([
      fakeThings.directory(id),
      fakeThings.rootDisk(id),
    ]);
  });

  it("is cancelled by a delete, which leaves nothing", async () => {
    const { host, vmService, id, start } = await starting();
    expect((await remove(vmService, id)).id).toBe(id);
    await expect(start).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await vmService.list()).toEqual([]);
    expect(host.inventory()).toEqual([]);
  });

  it("is not taken for a first one by a stop that comes after a delete", async () => {
    const { vmService, id } = await starting();
    const deleted = remove(vmService, id);
    const stopped = stop(vmService, id);
    await expect(stopped).rejects.toMatchObject({
      code: "ERR_VM_GONE",
      message: expect.not.stringContaining("first start") as string,
    });
    await deleted;
  });

  it("takes those with it that wait for the same VM", async () => {
    const { vmService, id, start } = await starting();
    const waiting = vmService.start(id, fakeOperation());
    waiting.catch(() => undefined);
    await stop(vmService, id);
    for (const owner of [start, waiting])
      await expect(owner).rejects.toMatchObject({
        code: "ERR_CANCELLED",
        message: expect.stringContaining("by stop") as string,
      });
  });

  it("is left alone by other operations, which wait", async () => {
    const { vmService, id, start } = await starting();
    const order: string[] = [];
    const change = vmService
      .reconfigure(id, { memoryMiB: 512 }, fakeOperation())
      .then(() => order.push("changed"));
    start.catch(() => order.push("start ended"));
    await stop(vmService, id);
    await change;
    expect(order).toEqual(["start ended", "changed"]);
  });

  it("does not hold a stop whose own client leaves", async () => {
    const { host, vmService, id } = await starting();
    // A cleanup that never ends: the start cannot either.
    host.network.remove = () => new Promise(() => undefined);
    const aborts = new AbortController();
    const stopping = vmService.stop(id, {}, fakeOperation(aborts.signal));
    await vi.waitFor(() => expect(host.calls.log).toContain("network.remove"));
    aborts.abort();
    await expect(stopping).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});

describe("a launch under way", () => {
  it.each([
    ["kill", kill],
    ["delete", remove],
  ])("leaves nothing after a %s, which succeeds", async (_by, end) => {
    const { host, vmService, launch } = await launching();
    expect(await end(vmService, "otter")).toMatchObject({
      name: "otter",
      state: "created",
    });
    await expect(launch).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await vmService.list()).toEqual([]);
    expect(host.inventory()).toEqual([]);
  });

  it("leaves nothing after a stop, which says so", async () => {
    const { host, vmService, launch } = await launching();
    await expect(stop(vmService, "otter")).rejects.toMatchObject({
      code: "ERR_VM_GONE",
      message: expect.stringContaining(
        "its first start was cancelled",
      ) as string,
    });
    await expect(launch).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(host.inventory()).toEqual([]);
  });

  it("says when its VM could not be removed", async () => {
    const { host, vmService, boots } = bench();
    host.guestAgent.behaviour = "hangs";
    const aborts = new AbortController();
    const operation = fakeOperation(aborts.signal);
    const launch = vmService.launch({ name: "otter" }, operation);
    launch.catch(() => undefined);
    await boots();
    const call = "vmFiles.removeAll";
    host.calls.expect({ at: 1, call, moment: "before" });
    aborts.abort();
    await expect(launch).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(operation.stages.at(-1)).toMatch(/^delete: warning: otter is left/);
    expect((await vmService.get("otter")).state).toBe("error");
  });

  it("can be ended from the moment its row is there", async () => {
    const { host, vmService } = bench();
    const { insert } = host.vmStore;
    let removal: Promise<VmRecord> | undefined;
    host.vmStore.insert = async (name, build) => {
      const vm = await insert.call(host.vmStore, name, build);
      removal = remove(vmService, vm.id);
      return vm;
    };
    await expect(vmService.launch({}, fakeOperation())).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
    await removal;
    expect(await vmService.list()).toEqual([]);
    expect(host.inventory()).toEqual([]);
  });
});
