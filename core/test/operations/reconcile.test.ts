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
  first.vmService.close();
  host.loseDaemon();
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
    expect(host.calls.log).toContain("fake postStart");
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
    await next.reconcile(fakeOperation());
    expect((await next.get(id)).state).toBe("running");
    expect(host.inventory()).toContain(fakeThings.handles(id));
  });

  it("keeps a VM running that it cannot publish, with the reason", async () => {
    const { host, id, next } = await succession();
    host.calls.expect({ at: 3, moment: "before" });
    const operation = fakeOperation();
    await next.reconcile(operation);
    expect(host.calls.log[2]).toBe("fake postStart");
    expect(await next.get(id)).toMatchObject({
      state: "running",
      runtime: { lastError: expect.stringContaining("postStart") as string },
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
    const at = ["find", "disconnect", "find", "kill", "cleanup"].length;
    host.calls.expect({ at, moment: "before" });
    await next.reconcile(fakeOperation());
    expect(host.calls.log[at - 1]).toBe("fake cleanup");
    expect(await next.get(id)).toMatchObject({
      state: "error",
      runtime: { lastError: expect.stringContaining("fake cleanup") as string },
    });
  });

  it("keeps a VM whose own first start was not finished", async () => {
    const host = new FakeHost();
    const plugins = [fakePlugin(host)];
    const first = fakeDaemon(host, { plugins }).vmService;
    const { id } = await first.create({}, fakeOperation());
    host.calls.expect({ at: 12, moment: "kill-after" });
    void first.start(id, fakeOperation());
    await host.calls.killed;
    host.calls.expect();
    host.loseDaemon();
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
