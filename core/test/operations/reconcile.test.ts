import { describe, expect, it, vi } from "vitest";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
} from "@banger/core/testing";

/** A VM that a first daemon started, and the daemon that comes after it. */
async function succession() {
  const host = new FakeHost();
  const plugins = [fakePlugin(host)];
  const first = fakeDaemon(host, { plugins });
  const { id } = await first.vmService.launch({}, fakeOperation());
  await first.vmService.close();
  host.killDaemons();
  host.calls.expect();
  const next = fakeDaemon(host, { plugins }).vmService;
  const kept = [fakeThings.directory(id), fakeThings.rootDisk(id)];
  return { host, id, next, kept };
}

describe("reconcile", () => {
  it("adopts a live VM: publishes it again, and watches it", async () => {
    const { host, id, next, kept } = await succession();
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("running");
    expect(host.calls.log).toContain("commands.run fake postStart");
    expect(host.vmm.launches).toHaveLength(1);
    host.vmm.end(id);
    await vi.waitFor(async () =>
      expect((await next.get(id)).state).toBe("stopped"),
    );
    expect(host.inventory()).toEqual(kept);
  });

  it("adopts one whose handles were lost", async () => {
    const { host, id, next } = await succession();
    host.handleStore.forget(id);
    const { problems } = await next.reconcile(fakeOperation());
    const { name: vm, state, runtime } = await next.get(id);
    expect(state).toBe("running");
    expect(host.inventory()).toContain(fakeThings.handles(id));
    const text = expect.stringContaining("handles.json was missing") as string;
    expect(problems).toEqual([{ vm, text }]);
    expect(runtime).not.toHaveProperty("problems");
  });

  it("puts its network right before plugins publish, and keeps it running when it cannot", async () => {
    const { host, id, next } = await succession();
    host.network.prepared.clear();
    await next.reconcile(fakeOperation());
    expect(host.network.prepared).toContain(id);
    const { log } = host.calls;
    expect(log.indexOf("network.restore")).toBeLessThan(
      log.indexOf("commands.run fake postStart"),
    );

    const other = await succession();
    const call = "network.restore";
    other.host.calls.expect({ at: 1, call, moment: "before" });
    await other.next.reconcile(fakeOperation());
    expect(await other.next.get(other.id)).toMatchObject({
      state: "running",
      runtime: {
        problems: [
          expect.stringMatching(/^its network is not whole: /) as string,
        ],
      },
    });
  });

  it("keeps a VM running that it cannot publish, with the reason", async () => {
    const { host, id, next } = await succession();
    const call = "commands.run fake postStart";
    host.calls.expect({ at: 1, call, moment: "before" });
    const operation = fakeOperation();
    await next.reconcile(operation);
    expect(await next.get(id)).toMatchObject({
      state: "running",
      runtime: {
        problems: [
          expect.stringMatching(/^not wholly published: .*postStart/) as string,
        ],
      },
    });
    expect(operation.logger.entries.map(({ level }) => level)).toContain(
      "error",
    );
    await next.delete(id, fakeOperation());
    expect(host.inventory()).toEqual([]);
  });

  it("cleans up after a VM that died meanwhile", async () => {
    const { host, id, next, kept } = await succession();
    host.vmm.end(id);
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("stopped");
    expect(host.inventory()).toEqual(kept);
  });

  it("says what it could not clean up", async () => {
    const { host, id, next } = await succession();
    host.vmm.end(id);
    const call = "commands.run fake cleanup remove";
    host.calls.expect({ at: 1, call, moment: "before" });
    await next.reconcile(fakeOperation());
    expect(await next.get(id)).toMatchObject({
      state: "error",
      runtime: {
        lastError: expect.stringContaining("fake, cleanup") as string,
      },
    });
  });

  it("finishes the cleanup that an earlier daemon could not, and the VM is stopped", async () => {
    const { host, id, next, kept } = await succession();
    host.vmm.end(id);
    const call = "commands.run fake cleanup remove";
    host.calls.expect({ at: 1, call, moment: "before" });
    await next.reconcile(fakeOperation());
    const later = fakeDaemon(host, { plugins: [fakePlugin(host)] }).vmService;
    await later.reconcile(fakeOperation());
    const { state, runtime } = await later.get(id);
    expect(state).toBe("stopped");
    expect(runtime).not.toHaveProperty("lastError");
    expect(runtime).not.toHaveProperty("problems");
    expect(host.inventory()).toEqual(kept);
  });

  it("keeps a VM whose own first start was not finished", async () => {
    const host = new FakeHost();
    const plugins = [fakePlugin(host)];
    const first = fakeDaemon(host, { plugins }).vmService;
    const { id } = await first.create({}, fakeOperation());
    const call = "commands.run fake prepareHost add";
    host.calls.expect({ at: 1, call, moment: "kill-after" });
    void first.start(id, fakeOperation());
    await host.calls.killed;
    host.calls.expect();
    host.killDaemons();
    const next = fakeDaemon(host, { plugins }).vmService;
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("created");
    await next.delete(id, fakeOperation());
    expect(host.inventory()).toEqual([]);
  });

  it("keeps a failed VM in state error, and ends what still runs of it", async () => {
    const { host, id, next, kept } = await succession();
    await host.vmStore.update(id, () => ({ state: "error" }));
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("error");
    expect(host.inventory()).toEqual(kept);
  });

  it("leaves VMs alone that do not run", async () => {
    const { host, id, next, kept } = await succession();
    await next.stop(id, {}, fakeOperation());
    const fresh = await next.create({}, fakeOperation());
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("stopped");
    expect((await next.get(fresh.id)).state).toBe("created");
    expect(host.inventory()).toEqual(kept);
  });
});

describe("the report of a reconcile", () => {
  it("names what became of whom", async () => {
    const { host, id, next } = await succession();
    const running = (await next.get(id)).name;
    const dead = await next.launch({ name: "dead" }, fakeOperation());
    await next.create({ name: "fresh" }, fakeOperation());
    await next.close();
    host.vmm.end(dead.id);
    const daemon = fakeDaemon(host, { plugins: [fakePlugin(host)] });
    const report = await daemon.vmService.reconcile(fakeOperation());
    expect(report).toEqual({
      startedAt: expect.stringMatching(/^20.*Z$/) as string,
      durationMs: expect.any(Number) as number,
      adopted: [running],
      cleaned: ["dead"],
      removed: [],
      problems: [],
    });
  });

  it("says when no VM can be looked at, and never fails", async () => {
    const { host, next } = await succession();
    host.calls.expect({ at: 1, call: "vmStore.list", moment: "before" });
    expect(await next.reconcile(fakeOperation())).toMatchObject({
      adopted: [],
      problems: [
        { vm: "all", text: expect.stringContaining("vmStore.list") as string },
      ],
    });
  });

  it("says when a record cannot be written, which keeps no other VM", async () => {
    const { host, id, next } = await succession();
    const other = await next.launch({ name: "other" }, fakeOperation());
    await next.close();
    host.vmm.end(id);
    const { update } = host.vmStore;
    host.vmStore.update = (vmId, change) =>
      vmId === id
        ? Promise.reject(new Error("the store is busy"))
        : update.call(host.vmStore, vmId, change);
    const daemon = fakeDaemon(host, { plugins: [fakePlugin(host)] });
    const report = await daemon.vmService.reconcile(fakeOperation());
    expect(report.adopted).toEqual([other.name]);
    const { name: vm } = await next.get(id);
    expect(report.problems).toEqual([
      { vm, text: "the store is busy" },
      { vm, text: "its record cannot be written: the store is busy" },
    ]);
  });
});

describe("a live VM with trouble", () => {
  it("is adopted although its handles are corrupt, and is well after it", async () => {
    const { host, id, next } = await succession();
    host.handleStore.corrupt(id);
    const { name } = await next.get(id);
    const operation = fakeOperation();
    const report = await next.reconcile(operation);
    expect(report.adopted).toEqual([name]);
    expect(report.problems).toEqual([{ vm: name, text: "it is no JSON" }]);
    expect(operation.logger.entries.map(({ level }) => level)).toContain(
      "warn",
    );
    const vm = await next.get(id);
    expect(vm.state).toBe("running");
    expect(vm.runtime).not.toHaveProperty("problems");
    expect(await host.handleStore.read(vm)).toBeDefined();
  });

  it("has only what is still wrong in its record", async () => {
    const { host, id, next } = await succession();
    host.handleStore.corrupt(id);
    host.calls.expect({ at: 1, call: "handleStore.write", moment: "before" });
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).runtime.problems).toEqual([
      expect.stringContaining("its handles cannot be written") as string,
    ]);
  });

  it("is stopped and well when it died and its handles are corrupt", async () => {
    const { host, id, next, kept } = await succession();
    host.handleStore.corrupt(id);
    host.vmm.end(id);
    const report = await next.reconcile(fakeOperation());
    expect(report.problems).toMatchObject([{ text: "it is no JSON" }]);
    const { state, runtime } = await next.get(id);
    expect(state).toBe("stopped");
    expect(runtime).not.toHaveProperty("problems");
    expect(host.inventory()).toEqual(kept);
  });

  it("is in state error when SSH does not answer, runs on, and is adopted later", async () => {
    const { host, id, next } = await succession();
    host.calls.expect({ at: 1, call: "guestSsh.connect", moment: "before" });
    await next.reconcile(fakeOperation());
    const lost = await next.get(id);
    expect(lost.state).toBe("error");
    expect(lost.runtime.problems).toEqual([
      expect.stringContaining("SSH does not answer") as string,
    ]);
    expect(host.inventory()).toContain(fakeThings.process(id));
    const later = fakeDaemon(host, { plugins: [fakePlugin(host)] }).vmService;
    const report = await later.reconcile(fakeOperation());
    expect(report.adopted).toEqual([lost.name]);
    const found = await later.get(id);
    expect(found.state).toBe("running");
    expect(found.runtime.problems).toBeUndefined();
    expect(host.vmm.launches).toHaveLength(1);
  });

  it("is given up on when it hangs past its time, and can be deleted", async () => {
    const { host, id } = await succession();
    // It honours no signal.
    host.guestSsh.connect = () => new Promise(() => undefined);
    const { vmService } = fakeDaemon(host, {
      plugins: [fakePlugin(host)],
      settings: { reconcileTimeoutMs: 20 },
    });
    const { name } = await vmService.get(id);
    const report = await vmService.reconcile(fakeOperation());
    const text = `looking at ${name} did not end within 0.02 s`;
    expect(report).toMatchObject({
      adopted: [],
      problems: [{ vm: name, text }],
    });
    const vm = await vmService.get(id);
    expect(vm.state).toBe("error");
    expect(vm.runtime.problems).toEqual([text]);
    expect(host.inventory()).toContain(fakeThings.process(id));
    await vmService.delete(id, fakeOperation());
    expect(host.inventory()).toEqual([]);
  });

  it("is cleaned up when its guest ends after all", async () => {
    const { host, id, next, kept } = await succession();
    host.calls.expect({ at: 1, call: "guestSsh.connect", moment: "before" });
    await next.reconcile(fakeOperation());
    host.vmm.end(id);
    await vi.waitFor(async () =>
      expect((await next.get(id)).state).toBe("stopped"),
    );
    expect((await next.get(id)).runtime.problems).toBeUndefined();
    expect(host.inventory()).toEqual(kept);
  });

  it("is watched although its record cannot be written", async () => {
    const { host, id, next, kept } = await succession();
    host.guestSsh.connect = () => Promise.reject(new Error("no route"));
    host.calls.expect({ at: 1, call: "vmStore.update", moment: "before" });
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("running");
    host.vmm.end(id);
    await vi.waitFor(async () =>
      expect((await next.get(id)).state).toBe("stopped"),
    );
    expect(host.inventory()).toEqual(kept);
  });

  it("stays running when its agent or a port fails, each a problem", async () => {
    const { host, id, next } = await succession();
    const forwards = [
      { address: "127.0.0.1", port: 8080, guestPort: 80 },
      { address: "127.0.0.1", port: 8443, guestPort: 443 },
    ];
    await host.vmStore.update(id, ({ runtime }) => ({
      runtime: { ...runtime, forwards },
    }));
    const open = host.portForwards.open.bind(host.portForwards);
    host.portForwards.open = (vm, forward) =>
      forward.guestPort === 80
        ? Promise.reject(new Error("is in use"))
        : open(vm, forward);
    host.calls.expect({ at: 1, call: "guestAgent.ping", moment: "before" });
    await next.reconcile(fakeOperation());
    const { state, runtime } = await next.get(id);
    expect(state).toBe("running");
    expect(runtime.problems).toEqual([
      expect.stringContaining("its agent does not answer") as string,
      "port 80 is not published: is in use",
    ]);
    expect(host.inventory().join()).toContain("8443");
    await next.stop(id, {}, fakeOperation());
    expect(host.inventory().join()).not.toContain("8443");
    expect((await next.get(id)).runtime.problems).toBeUndefined();
  });
});

describe("the end of a daemon", () => {
  it("waits for a cleanup that is under way", async () => {
    const { host, id, next } = await succession();
    await next.reconcile(fakeOperation());
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const remove = host.network.remove.bind(host.network);
    host.network.remove = async (vm) => {
      await held;
      return remove(vm);
    };
    host.vmm.end(id);
    await vi.waitFor(() => expect(host.calls.log).toContain("network.remove"));
    const order: string[] = [];
    const closed = next.close().then(() => order.push("closed"));
    order.push("released");
    release();
    await closed;
    expect(order).toEqual(["released", "closed"]);
    expect((await next.get(id)).state).toBe("stopped");
  });
});
