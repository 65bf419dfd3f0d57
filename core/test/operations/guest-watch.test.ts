import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import type { VmId, VmService } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
} from "@banger/core/testing";

async function running() {
  const host = new FakeHost();
  const daemon = fakeDaemon(host, { plugins: [fakePlugin(host)] });
  const { vmService, vmLocks } = daemon;
  const launch = fakeOperation();
  const vm = await vmService.launch({}, launch);
  /** Keeps the VM's lock until it is called. */
  const hold = async (): Promise<() => void> => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    await new Promise<void>((resolve) => {
      void vmLocks.run(vm, fakeOperation().signal, () => {
        resolve();
        return held;
      });
    });
    return release;
  };
  return { host, vmService, id: vm.id, launch, hold };
}

type End = (vmService: VmService, id: VmId) => Promise<unknown>;
const remove: End = (vmService, id) => vmService.delete(id, fakeOperation());
const stop: End = (vmService, id) => vmService.stop(id, {}, fakeOperation());
const restart: End = (vmService, id) => vmService.restart(id, fakeOperation());

describe("a guest that runs on after an operation failed to end it", () => {
  it.each([
    ["delete", remove, "vmStore.update"],
    ["stop", stop, "handleStore.read"],
    ["restart", restart, "vmStore.update"],
  ])("is watched as before: %s", async (_operation, end, call) => {
    const { host, vmService, id } = await running();
    host.calls.expect({ at: 1, call, moment: "before" });
    await expect(end(vmService, id)).rejects.toThrow(call);
    expect((await vmService.get(id)).state).toBe("running");
    host.vmm.end(id);
    await vi.waitFor(async () =>
      expect((await vmService.get(id)).state).toBe("stopped"),
    );
    expect(host.inventory()).toEqual([
      fakeThings.directory(id),
      fakeThings.rootDisk(id),
    ]);
  });
});

describe("a guest that ends while others wait for its VM", () => {
  it("stays in state error, with why, when its next start fails", async () => {
    const { host, vmService, id, hold } = await running();
    const release = await hold();
    const restarted = restart(vmService, id);
    restarted.catch(() => undefined);
    await setImmediate();
    host.guestAgent.behaviour = "silent";
    host.vmm.end(id);
    await setImmediate();
    release();
    await expect(restarted).rejects.toThrow("did not answer");
    await vmService.close();
    expect(await vmService.get(id)).toMatchObject({
      state: "error",
      runtime: {
        lastError: expect.stringContaining("did not answer") as string,
      },
    });
  });

  it("is nobody's trouble when it is deleted", async () => {
    const { host, launch, vmService, id, hold } = await running();
    const release = await hold();
    const deleted = remove(vmService, id);
    await setImmediate();
    host.vmm.end(id);
    await setImmediate();
    release();
    await deleted;
    await vmService.close();
    const { entries } = launch.logger;
    expect(entries.filter(({ level }) => level === "error")).toEqual([]);
  });
});

it("says and times nothing in the operation that started the VM, which has ended", async () => {
  const { host, vmService, id, launch } = await running();
  const said = launch.stages.length;
  const timed = launch.timeline.entries().length;
  const call = "commands.run fake cleanup remove";
  host.calls.expect({ at: 1, call, moment: "before" });
  host.vmm.end(id);
  await vi.waitFor(async () =>
    expect((await vmService.get(id)).state).toBe("error"),
  );
  expect(launch.stages).toHaveLength(said);
  expect(launch.timeline.entries()).toHaveLength(timed);
});
