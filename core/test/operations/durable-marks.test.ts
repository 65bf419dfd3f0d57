import { describe, expect, it, vi } from "vitest";
import { definePlugin, type VmRecord } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
} from "@banger/core/testing";

/** A plugin that agrees to changes of memory, notes them, and may fail. */
function witness(seen: string[], fails: () => boolean = () => false) {
  return definePlugin({
    id: "witness",
    apply: (hooks) =>
      hooks.configChange.tapPromise(
        "witness",
        async (before, after, { live }) => {
          if (before.spec.memoryMiB === after.spec.memoryMiB) return;
          seen.push(
            `${before.spec.memoryMiB}->${after.spec.memoryMiB} ${live ? "live" : "stopped"}`,
          );
          if (fails()) throw new Error("it sticks");
        },
      ),
  });
}

const code = (expected: string) => ({ code: expected });

describe("a change of the spec", () => {
  /** A VM whose daemon was killed between the plugins' yes and the record. */
  async function interrupted(fails: () => boolean = () => false) {
    const host = new FakeHost();
    const seen: string[] = [];
    const plugins = [witness(seen, fails), fakePlugin(host)];
    const first = fakeDaemon(host, { plugins }).vmService;
    const vm = await first.create({ memoryMiB: 256 }, fakeOperation());
    host.calls.expect({ at: 2, call: "vmStore.update", moment: "kill-before" });
    void first.reconfigure(vm.id, { memoryMiB: 512 }, fakeOperation());
    await host.calls.killed;
    host.killDaemons();
    host.calls.expect();
    const next = fakeDaemon(host, { plugins }).vmService;
    return { host, seen, next, id: vm.id };
  }

  it("is in the record before any plugin is asked, and gone with its end", async () => {
    const host = new FakeHost();
    const during: (VmRecord | undefined)[] = [];
    const looking = definePlugin({
      id: "looking",
      apply: (hooks) =>
        hooks.configChange.tapPromise("looking", async (before) => {
          during.push(await host.vmStore.find(before.id));
          if (during.length > 1) throw new Error("no");
        }),
    });
    const { vmService } = fakeDaemon(host, { plugins: [looking] });
    const { id } = await vmService.create({}, fakeOperation());
    const change = (memoryMiB: number) =>
      vmService.reconfigure(id, { memoryMiB }, fakeOperation());
    expect((await change(512)).runtime.changing).toBeUndefined();
    expect(during[0]?.spec.memoryMiB).toBe(256);
    expect(during[0]?.runtime.changing?.memoryMiB).toBe(512);
    await expect(change(1024)).rejects.toMatchObject(code("ERR_PLUGIN_FAULT"));
    const { spec, runtime } = await vmService.get(id);
    expect([spec.memoryMiB, runtime.changing]).toEqual([512, undefined]);
  });

  it("is taken back by the next daemon when it was not finished", async () => {
    const { seen, next, id } = await interrupted();
    expect((await next.get(id)).runtime.changing?.memoryMiB).toBe(512);
    const report = await next.reconcile(fakeOperation());
    expect(report.problems).toEqual([]);
    expect(seen).toEqual(["256->512 stopped", "512->256 stopped"]);
    const { spec, runtime } = await next.get(id);
    expect([spec.memoryMiB, runtime.changing]).toEqual([256, undefined]);
  });

  it("stays marked when a plugin does not take it back, and the VM can be deleted", async () => {
    let fails = false;
    const { host, next, id } = await interrupted(() => fails);
    fails = true;
    const { name } = await next.get(id);
    const text =
      "a change of its settings is not taken back: plugin witness, configChange: it sticks";
    const report = await next.reconcile(fakeOperation());
    expect(report.problems).toEqual([{ vm: name, text }]);
    const { runtime, state } = await next.get(id);
    expect(state).toBe("created");
    expect(runtime.problems).toEqual([text]);
    expect(runtime.changing?.memoryMiB).toBe(512);
    fails = false;
    await next.reconcile(fakeOperation());
    const mended = await next.get(id);
    expect(mended.runtime.problems).toBeUndefined();
    expect(mended.runtime.changing).toBeUndefined();
    await next.delete(id, fakeOperation());
    expect(host.inventory()).toEqual([]);
  });
});

describe("a deletion", () => {
  /** A stopped VM whose daemon was killed while it removed the disks. */
  async function interrupted() {
    const host = new FakeHost();
    const plugins = [fakePlugin(host)];
    const first = fakeDaemon(host, { plugins }).vmService;
    const { id, name } = await first.launch({}, fakeOperation());
    await first.stop(id, {}, fakeOperation());
    const call = "vmFiles.removeAll";
    host.calls.expect({ at: 1, call, moment: "kill-before" });
    void first.delete(id, fakeOperation());
    await host.calls.killed;
    host.killDaemons();
    host.calls.expect();
    return { host, id, name, next: fakeDaemon(host, { plugins }).vmService };
  }

  it("is finished by the next daemon", async () => {
    const { host, name, next } = await interrupted();
    const report = await next.reconcile(fakeOperation());
    expect(report).toMatchObject({ removed: [name], problems: [] });
    expect(await next.list()).toEqual([]);
    expect(host.inventory()).toEqual([]);
  });

  it("whose last write fails leaves no VM that is said to run", async () => {
    const host = new FakeHost();
    const plugins = [fakePlugin(host)];
    const { vmService } = fakeDaemon(host, { plugins });
    const { id } = await vmService.launch({}, fakeOperation());
    host.calls.expect({ at: 1, call: "vmStore.remove", moment: "before" });
    await expect(vmService.delete(id, fakeOperation())).rejects.toThrow(
      "vmStore.remove",
    );
    await vi.waitFor(async () =>
      expect(await vmService.get(id)).toMatchObject({
        state: "error",
        runtime: { lastError: expect.stringContaining("deletion") as string },
      }),
    );
    await vmService.delete(id, fakeOperation());
    expect(await vmService.list()).toEqual([]);
  });

  it("that cannot be finished keeps the VM from starting, and can be repeated", async () => {
    const { host, id, name, next } = await interrupted();
    const call = "vmFiles.removeAll";
    host.calls.expect({ at: 1, call, moment: "before" });
    const report = await next.reconcile(fakeOperation());
    expect(report.problems).toEqual([
      { vm: name, text: expect.stringContaining("removeAll") as string },
    ]);
    expect((await next.get(id)).state).toBe("error");
    for (const begin of ["start", "restart"] as const)
      await expect(next[begin](id, fakeOperation())).rejects.toMatchObject(
        code("ERR_VM_STATE"),
      );
    expect(host.vmm.launches).toHaveLength(1);
    expect((await next.stop(id, {}, fakeOperation())).state).toBe("error");
    await next.delete(id, fakeOperation());
    expect(host.inventory()).toEqual([]);
  });
});

describe("a rename", () => {
  async function bench() {
    const host = new FakeHost();
    const { vmService } = fakeDaemon(host, { plugins: [fakePlugin(host)] });
    const vm = await vmService.launch({ name: "otter" }, fakeOperation());
    const rename = (name: string) =>
      vmService.reconfigure(vm.id, { name }, fakeOperation());
    return { host, vmService, id: vm.id, rename };
  }

  it("changes name and DNS name of a VM that does not run", async () => {
    const { vmService, id, rename } = await bench();
    await vmService.stop(id, {}, fakeOperation());
    expect(await rename("badger")).toMatchObject({
      id,
      name: "badger",
      runtime: { dnsName: "badger.vm" },
    });
    await expect(vmService.get("otter")).rejects.toMatchObject(
      code("ERR_VM_NOT_FOUND"),
    );
    expect((await vmService.start("badger", fakeOperation())).id).toBe(id);
  });

  it.each([
    ["ERR_INVALID_VALUE", "Not A Name"],
    ["ERR_VM_NAME_TAKEN", "finch"],
  ])("is refused with %s: %s", async (expected, name) => {
    const { vmService, id, rename } = await bench();
    await vmService.create({ name: "finch" }, fakeOperation());
    await vmService.stop(id, {}, fakeOperation());
    await expect(rename(name)).rejects.toMatchObject(code(expected));
    expect((await vmService.get(id)).name).toBe("otter");
  });

  it("is refused while the VM runs, whatever its state says", async () => {
    const { host, vmService, id, rename } = await bench();
    await expect(rename("badger")).rejects.toMatchObject(code("ERR_VM_STATE"));
    await host.vmStore.update(id, () => ({ state: "error" }));
    await expect(rename("badger")).rejects.toMatchObject(code("ERR_VM_STATE"));
    expect((await vmService.get(id)).name).toBe("otter");
  });

  it("is refused while something of the last run is left under the old name", async () => {
    const { host, vmService, id, rename } = await bench();
    host.calls.expect({ at: 1, call: "network.remove", moment: "before" });
    await expect(vmService.stop(id, {}, fakeOperation())).rejects.toThrow();
    await expect(rename("badger")).rejects.toMatchObject(code("ERR_VM_STATE"));
    await vmService.stop(id, {}, fakeOperation());
    expect((await rename("badger")).name).toBe("badger");
  });

  it("does not let go of what waits for the VM", async () => {
    const { host, vmService, id, rename } = await bench();
    await vmService.stop(id, {}, fakeOperation());
    const [renamed, started] = await Promise.all([
      rename("badger"),
      vmService.start("otter", fakeOperation()),
    ]);
    expect([renamed.name, started.name]).toEqual(["badger", "badger"]);
    expect(host.inventory()).toContain(fakeThings.process(id));
  });
});

describe("an image that goes while a VM is made from it", () => {
  it("refuses the VM and leaves no row", async () => {
    const host = new FakeHost();
    const { vmService } = fakeDaemon(host);
    const { insert } = host.vmStore;
    host.vmStore.insert = async (name, build) => {
      await host.imageStore.remove("debian");
      return insert.call(host.vmStore, name, build);
    };
    for (const make of ["create", "launch"] as const)
      await expect(vmService[make]({}, fakeOperation())).rejects.toMatchObject(
        code("ERR_IMAGE_NOT_FOUND"),
      );
    expect(await vmService.list()).toEqual([]);
    expect(host.inventory()).toEqual([]);
  });
});
