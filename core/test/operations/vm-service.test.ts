import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { definePlugin, type Plugin, type VmRequest } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
  type FakeDaemonOptions,
  type GuestBehaviour,
} from "@banger/core/testing";

function bench(options: FakeDaemonOptions = {}) {
  const host = new FakeHost();
  const plugins = options.plugins ?? [fakePlugin(host)];
  const { vmService } = fakeDaemon(host, { ...options, plugins });
  const launch = (request: VmRequest = {}) =>
    vmService.launch(request, fakeOperation());
  return { host, vmService, launch };
}

const code = (expected: string) => ({ code: expected });

describe("create", () => {
  it("fills what the request leaves out, and makes nothing on the host", async () => {
    const { host, vmService } = bench();
    const vm = await vmService.create({ vcpus: 3 }, fakeOperation());
    expect(vm).toMatchObject({
      state: "created",
      imageId: "debian-000000000000",
      spec: {
        image: "debian",
        vcpus: 3,
        memoryMiB: 256,
        diskSizeBytes: 2 ** 30,
        nat: false,
        plugins: ["fake"],
      },
      runtime: { guestIp: "127.77.0.1", dnsName: `${vm.name}.vm` },
    });
    expect(host.inventory()).toEqual([]);
  });

  it.each<[string, VmRequest]>([
    ["ERR_INVALID_VALUE", { name: "Not A Name" }],
    ["ERR_INVALID_VALUE", { vcpus: 0 }],
    ["ERR_INVALID_VALUE", { vcpus: 1.5 }],
    ["ERR_INVALID_VALUE", { vcpus: 5 }],
    ["ERR_INVALID_VALUE", { memoryMiB: 127 }],
    ["ERR_INVALID_VALUE", { memoryMiB: 8193 }],
    ["ERR_INVALID_VALUE", { diskSizeBytes: 1 }],
    ["ERR_INVALID_VALUE", { diskSizeBytes: NaN }],
    ["ERR_IMAGE_NOT_FOUND", { image: "nope" }],
    ["ERR_PLUGIN_NOT_FOUND", { plugins: ["nope"] }],
    ["ERR_PLUGIN_NOT_FOUND", { withoutPlugins: ["nope"] }],
    ["ERR_PLUGIN_ORDER", { plugins: ["fake"], withoutPlugins: ["fake"] }],
  ])("refuses with %s and leaves no record: %j", async (expected, request) => {
    const { vmService } = bench();
    await expect(
      vmService.create(request, fakeOperation()),
    ).rejects.toMatchObject(code(expected));
    expect(await vmService.list()).toEqual([]);
  });

  it("refuses a name that is taken before it builds an image", async () => {
    const { host, vmService } = bench();
    await vmService.create({ name: "otter" }, fakeOperation());
    host.calls.expect();
    await expect(
      vmService.create({ name: "otter" }, fakeOperation()),
    ).rejects.toMatchObject(code("ERR_VM_NAME_TAKEN"));
    expect(host.calls.log).not.toContain("imageStore.ensure");
  });

  it("finds other names and addresses for many at once", async () => {
    const { vmService } = bench();
    const vms = await Promise.all(
      Array.from({ length: 100 }, () => vmService.create({}, fakeOperation())),
    );
    expect(new Set(vms.map(({ name }) => name)).size).toBe(100);
    expect(new Set(vms.map(({ runtime }) => runtime.guestIp)).size).toBe(100);
  });
});

describe("start", () => {
  it("runs one VMM when asked twice at once", async () => {
    const { host, vmService } = bench();
    const { id } = await vmService.create({}, fakeOperation());
    const both = await Promise.all(
      [1, 2].map(() => vmService.start(id, fakeOperation())),
    );
    expect(both.map(({ state }) => state)).toEqual(["running", "running"]);
    expect(host.vmm.launches).toHaveLength(1);
  });

  it("keeps the timeline of stages and hooks in the record", async () => {
    const { launch } = bench();
    const { runtime } = await launch();
    const names = runtime.lastStart?.map(({ kind, name }) => `${kind} ${name}`);
    for (const name of ["stage launch", "stage boot", "hook fake prepareHost"])
      expect(names).toContain(name);
  });

  it("begins again when the record says running and the VMM is dead", async () => {
    const { host, vmService } = bench();
    const vm = await vmService.create({}, fakeOperation());
    await vmService.start(vm.id, fakeOperation());
    await vmService.close();
    host.vmm.end(vm.id);
    expect((await vmService.start(vm.id, fakeOperation())).state).toBe(
      "running",
    );
    expect(host.vmm.launches).toHaveLength(2);
  });

  it("ends a VMM that runs on in state error before it starts another", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    await vmService.close();
    await host.vmStore.update(id, () => ({ state: "error" }));
    expect((await vmService.start(id, fakeOperation())).state).toBe("running");
    expect(host.vmm.launches).toHaveLength(2);
  });

  it.each<[GuestBehaviour, string]>([
    ["silent", "did not answer within 1 s; its console says"],
    ["dies", "ended before it answered; its console says"],
  ])(
    "keeps a VM whose guest is %s in state error, with its console",
    async (behaviour, text) => {
      for (const lines of [["Kernel panic"], []]) {
        const { host, vmService, launch } = bench();
        host.guestAgent.behaviour = behaviour;
        host.vmFiles.console = lines;
        const failed = launch();
        await expect(failed).rejects.toMatchObject({
          code: "ERR_GUEST_NOT_READY",
          details: lines,
          message: expect.stringContaining("is kept in state error") as string,
        });
        await expect(failed).rejects.toThrow(text);
        const [vm] = await vmService.list();
        expect(vm?.state).toBe("error");
        expect(vm?.runtime.lastError).toContain(text);
        expect(host.inventory()).toEqual([
          fakeThings.directory(vm!.id),
          fakeThings.rootDisk(vm!.id),
        ]);
      }
    },
  );

  it("leaves nothing of a guest that is cancelled while it boots", async () => {
    const { host, vmService } = bench();
    host.guestAgent.behaviour = "hangs";
    const aborts = new AbortController();
    const launched = vmService.launch({}, fakeOperation(aborts.signal));
    await vi.waitFor(() =>
      expect(host.calls.log).toContain("guestAgent.waitReady"),
    );
    aborts.abort();
    await expect(launched).rejects.toMatchObject(code("ERR_CANCELLED"));
    expect(await vmService.list()).toEqual([]);
    expect(host.inventory()).toEqual([]);
  });

  it("refuses --nat that no plugin opens, before anything is made", async () => {
    const { host, vmService, launch } = bench();
    await expect(launch({ nat: true })).rejects.toMatchObject(
      code("ERR_NAT_UNAVAILABLE"),
    );
    expect(await vmService.list()).toEqual([]);
    expect(host.calls.log).not.toContain("rootDisks.ensure");
    expect(host.calls.log).not.toContain("network.prepare");
    expect(host.calls.log).not.toContain("commands.run fake prepareHost add");
  });

  it("takes --nat from a plugin that opens the way out", async () => {
    const host = new FakeHost();
    const plugins = [fakePlugin(host, "way-out", { opensEgress: true })];
    const { vmService } = fakeDaemon(host, { plugins });
    const vm = await vmService.launch({ nat: true }, fakeOperation());
    expect(vm.state).toBe("running");
    expect(host.vmm.launches[0]?.machine.egress).toEqual({ net0: "open" });
  });

  it("refuses with every finding at once, shows warnings, makes nothing", async () => {
    const reporting = (id: string, severity: "error" | "warning"): Plugin =>
      definePlugin({
        id,
        apply: (hooks) =>
          hooks.preflight.tap(id, ({ report }) =>
            report({ id: `${id}.x`, severity, message: id, fix: `mend ${id}` }),
          ),
      });
    const throwing = definePlugin({
      id: "thrower",
      apply: (hooks) =>
        hooks.preflight.tapPromise("thrower", () =>
          Promise.reject(new Error("broken")),
        ),
    });
    const plugins = [
      reporting("a", "error"),
      throwing,
      reporting("b", "warning"),
      reporting("c", "error"),
    ];
    const { host, vmService } = bench({ plugins });
    const operation = fakeOperation();
    await expect(vmService.launch({}, operation)).rejects.toMatchObject({
      code: "ERR_PREFLIGHT",
      hint: "mend a",
      details: [
        "a.x: a",
        "thrower.preflight: plugin thrower, preflight: broken",
        "c.x: c",
      ],
    });
    expect(operation.stages).toContain("preflight: warning: b");
    expect(host.inventory()).toEqual([]);
    expect(await vmService.list()).toEqual([]);
  });

  it("lists leftovers beside the first cause, and keeps the VM for another try", async () => {
    const host = new FakeHost();
    let stuck = true;
    const plugin = definePlugin({
      id: "sticky",
      apply(hooks) {
        hooks.prepareHost.tapPromise("sticky", () =>
          Promise.reject(new Error("no room")),
        );
        hooks.cleanup.tapPromise("sticky", async () => {
          if (stuck) throw new Error("rule is busy");
        });
      },
    });
    const { vmService } = bench({ plugins: [plugin] });
    expect(host.inventory()).toEqual([]);
    await expect(vmService.launch({}, fakeOperation())).rejects.toMatchObject({
      code: "ERR_PLUGIN_FAULT",
      message: expect.stringContaining("no room") as string,
      details: [expect.stringContaining("rule is busy") as string],
    });
    const [vm] = await vmService.list();
    expect(vm?.state).toBe("error");
    stuck = false;
    await vmService.delete(vm!.id, fakeOperation());
    expect(await vmService.list()).toEqual([]);
  });
});

describe("stop", () => {
  it("asks the guest, cleans up, keeps the disk", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    host.calls.expect();
    const vm = await vmService.stop(id, {}, fakeOperation());
    expect(vm.state).toBe("stopped");
    expect(vm.runtime.prepared).toBeUndefined();
    expect(host.calls.log).toContain("guestAgent.powerOff");
    expect(host.inventory()).toEqual([
      fakeThings.directory(id),
      fakeThings.rootDisk(id),
    ]);
  });

  it("lets every plugin clean up once more when the stopped VM is deleted", async () => {
    const reasons: string[] = [];
    const keeper = definePlugin({
      id: "keeper",
      apply: (hooks) => {
        hooks.prepareHost.tapPromise("keeper", ({ teardown }) =>
          teardown.save("volume-7"),
        );
        hooks.cleanup.tapPromise("keeper", async ({ reason, teardown }) => {
          reasons.push(`${reason} ${JSON.stringify(await teardown.load())}`);
        });
      },
    });
    const { vmService, launch } = bench({ plugins: [keeper] });
    const { id } = await launch();
    await vmService.stop(id, {}, fakeOperation());
    await vmService.delete(id, fakeOperation());
    expect(reasons).toEqual(['stop "volume-7"', 'delete "volume-7"']);
  });

  it("is fine for a VM that is stopped, or was never started", async () => {
    const { vmService, launch } = bench();
    const { id } = await launch();
    for (let i = 0; i < 2; i++)
      expect((await vmService.stop(id, {}, fakeOperation())).state).toBe(
        "stopped",
      );
    const fresh = await vmService.create({}, fakeOperation());
    expect((await vmService.stop(fresh.id, {}, fakeOperation())).state).toBe(
      "created",
    );
  });

  it("does not ask the guest by force", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    host.calls.expect();
    await vmService.stop(id, { force: true }, fakeOperation());
    expect(host.calls.log).not.toContain("guestAgent.powerOff");
    expect(host.inventory()).not.toContain(fakeThings.process(id));
  });

  it("ends a guest that ignores it, with a warning", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    host.guestAgent.behaviour = "stubborn";
    const operation = fakeOperation();
    expect((await vmService.stop(id, {}, operation)).state).toBe("stopped");
    expect(operation.stages.join()).toContain("did not power off in time");
    expect(host.inventory()).not.toContain(fakeThings.process(id));
  });

  it("runs to the end whatever fails, says what is left, and can be repeated", async () => {
    const steps = [
      "guestSsh.disconnect",
      "vmmDriver.kill",
      "commands.run fake cleanup remove",
      "network.remove",
      "vmFiles.removeRun",
      "handleStore.clear",
    ];
    for (const step of steps) {
      const { host, vmService, launch } = bench();
      const { id } = await launch();
      host.calls.expect();
      await vmService.stop(id, {}, fakeOperation());
      const at = host.calls.log.indexOf(step) + 1;
      await vmService.start(id, fakeOperation());
      host.calls.expect({ at, moment: "before" });
      await expect(
        vmService.stop(id, {}, fakeOperation()),
      ).rejects.toMatchObject({
        code: "ERR_SEVERAL",
        hint: expect.stringContaining("banger vm stop ") as string,
        details: [expect.stringContaining(step) as string],
      });
      expect(host.calls.log).toEqual(expect.arrayContaining(steps));
      const failed = await vmService.get(id);
      expect(failed.state).toBe("error");
      expect(failed.runtime.startedPlugins).toEqual(["fake"]);
      host.calls.expect();
      expect((await vmService.stop(id, {}, fakeOperation())).state).toBe(
        "stopped",
      );
      expect(host.inventory()).toEqual([
        fakeThings.directory(id),
        fakeThings.rootDisk(id),
      ]);
    }
  });
});

describe("delete", () => {
  it("removes a running VM with everything", async () => {
    const { host, vmService, launch } = bench();
    const { id, name } = await launch();
    await vmService.delete(name, fakeOperation());
    expect(host.inventory()).toEqual([]);
    await expect(vmService.get(id)).rejects.toMatchObject(
      code("ERR_VM_NOT_FOUND"),
    );
  });

  it("can be repeated after a failure of any call", async () => {
    for (let at = 1; ; at++) {
      const { host, vmService, launch } = bench();
      const { id } = await launch();
      host.calls.expect({ at, moment: "before" });
      const failed = await vmService.delete(id, fakeOperation()).then(
        () => false,
        () => true,
      );
      const name = host.calls.log[at - 1];
      if (name === undefined) break;
      expect([name, failed]).toEqual([name, true]);
      // The record cannot say so when it is the store that fails.
      if (!name.startsWith("vmStore."))
        expect((await vmService.get(id)).state).toBe("error");
      host.calls.expect();
      await vmService.delete(id, fakeOperation());
      expect(await vmService.list()).toEqual([]);
      expect(host.inventory()).toEqual([]);
      expect(at).toBeLessThan(50);
    }
  });

  it("goes although a plugin is no longer installed, and says what that left", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    await vmService.close();
    const { vmService: later } = fakeDaemon(host);
    await expect(later.stop(id, {}, fakeOperation())).rejects.toMatchObject({
      details: [
        expect.stringContaining("plugin fake cannot clean up") as string,
      ],
    });
    expect((await later.get(id)).state).toBe("error");
    const operation = fakeOperation();
    await later.delete(id, operation);
    expect(operation.logger.entries).toContainEqual(
      expect.objectContaining({
        level: "warn",
        message: "Plugin of a VM cannot clean up",
      }),
    );
    expect(await later.list()).toEqual([]);
    expect(host.inventory()).toEqual([fakeThings.ofPlugin("fake", id)]);
  });
});

describe("a guest that ends by itself", () => {
  it("is recorded as stopped, and cleaned up", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    host.vmm.end(id);
    await vi.waitFor(async () =>
      expect((await vmService.get(id)).state).toBe("stopped"),
    );
    expect(host.inventory()).toEqual([
      fakeThings.directory(id),
      fakeThings.rootDisk(id),
    ]);
  });

  it("is nobody's affair after close", async () => {
    const { host, vmService, launch } = bench();
    const { id } = await launch();
    await vmService.close();
    host.vmm.end(id);
    await setImmediate();
    expect((await vmService.get(id)).state).toBe("running");
  });
});

describe("reconfigure", () => {
  const watcher = (refuses: boolean, seen: string[]) =>
    definePlugin({
      id: "watcher",
      apply: (hooks) => {
        hooks.machineConfig.tap("watcher", (machine) => ({
          ...machine,
          egress: { ...machine.egress, net0: "open" as const },
        }));
        hooks.configChange.tapPromise(
          "watcher",
          async (before, after, { live }) => {
            seen.push(`${before.spec.nat}->${after.spec.nat} ${live}`);
            if (refuses) throw new Error("no");
          },
        );
      },
    });

  it("takes back what plugins agreed to when the record cannot be written", async () => {
    const seen: string[] = [];
    const { host, vmService, launch } = bench({
      plugins: [watcher(false, seen)],
    });
    const { id } = await launch();
    host.calls.expect();
    await vmService.reconfigure(id, { nat: true }, fakeOperation());
    const at = host.calls.log.lastIndexOf("vmStore.update") + 1;
    await vmService.reconfigure(id, { nat: false }, fakeOperation());
    seen.length = 0;
    host.calls.expect({ at, moment: "before" });
    await expect(
      vmService.reconfigure(id, { nat: true }, fakeOperation()),
    ).rejects.toThrow();
    expect(seen).toEqual(["false->true true", "true->false true"]);
    expect((await vmService.get(id)).spec.nat).toBe(false);
  });

  it("refuses NAT that no plugin of the VM can give", async () => {
    const { vmService, launch } = bench();
    const { id } = await launch();
    await expect(
      vmService.reconfigure(id, { nat: true }, fakeOperation()),
    ).rejects.toMatchObject(code("ERR_NAT_UNAVAILABLE"));
    expect((await vmService.get(id)).spec.nat).toBe(false);
  });

  it("asks the plugins of a live VM, then writes the record", async () => {
    const seen: string[] = [];
    const { vmService, launch } = bench({ plugins: [watcher(false, seen)] });
    const { id } = await launch();
    const vm = await vmService.reconfigure(id, { nat: true }, fakeOperation());
    expect(vm.spec.nat).toBe(true);
    expect(seen).toEqual(["false->true true"]);
  });

  it("keeps the record when a plugin refuses", async () => {
    const { vmService, launch } = bench({ plugins: [watcher(true, [])] });
    const { id } = await launch();
    await expect(
      vmService.reconfigure(id, { nat: true }, fakeOperation()),
    ).rejects.toMatchObject({ plugin: "watcher" });
    expect((await vmService.get(id)).spec.nat).toBe(false);
  });

  it("changes the machine of a stopped VM only, and never shrinks a disk", async () => {
    const { vmService, launch } = bench();
    const { id } = await launch();
    const change = (spec: Parameters<typeof vmService.reconfigure>[1]) =>
      vmService.reconfigure(id, spec, fakeOperation());
    await expect(change({ vcpus: 2 })).rejects.toMatchObject(
      code("ERR_VM_STATE"),
    );
    const { name } = await vmService.get(id);
    await expect(
      change({ name: "other", memoryMiB: 512, diskSizeBytes: 2 ** 36 }),
    ).rejects.toThrow(
      `${name} is running; its name, memory, disk size cannot change now`,
    );
    await change({ vcpus: 1 });
    await vmService.stop(id, {}, fakeOperation());
    expect((await change({ vcpus: 2, memoryMiB: 512 })).spec).toMatchObject({
      vcpus: 2,
      memoryMiB: 512,
    });
    await expect(change({ diskSizeBytes: 2 ** 29 })).rejects.toMatchObject(
      code("ERR_INVALID_VALUE"),
    );
    await expect(change({ vcpus: 64 })).rejects.toMatchObject(
      code("ERR_INVALID_VALUE"),
    );
  });
});

describe("getRunning", () => {
  it("refuses a VM that does not run", async () => {
    const { vmService } = bench();
    const { id } = await vmService.create({}, fakeOperation());
    await expect(vmService.getRunning(id)).rejects.toMatchObject(
      code("ERR_VM_STATE"),
    );
    await vmService.start(id, fakeOperation());
    expect((await vmService.getRunning(id)).id).toBe(id);
  });
});
