import { describe, expect, it, vi } from "vitest";
import type { OperationSettings, VmmSignal } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
} from "@banger/core/testing";

async function running(settings: Partial<OperationSettings> = {}) {
  const host = new FakeHost();
  const daemon = fakeDaemon(host, { plugins: [fakePlugin(host)], settings });
  const { vmService } = daemon;
  const { id, name } = await vmService.launch({}, fakeOperation());
  const kept = [fakeThings.directory(id), fakeThings.rootDisk(id)];
  return { host, daemon, vmService, id, name, kept };
}

const code = (expected: string) => ({ code: expected });

describe("restart", () => {
  it("powers the guest off and boots it anew", async () => {
    const { host, vmService, id } = await running();
    host.calls.expect();
    const vm = await vmService.restart(id, fakeOperation());
    expect(vm.state).toBe("running");
    expect(host.vmm.launches).toHaveLength(2);
    const { log } = host.calls;
    const order = ["guestAgent.powerOff", "network.remove", "vmmDriver.launch"];
    expect(log.filter((call) => order.includes(call))).toEqual(order);
  });

  it("starts a VM that does not run", async () => {
    const { host, vmService, id } = await running();
    await vmService.stop(id, {}, fakeOperation());
    host.calls.expect();
    const vm = await vmService.restart(id, fakeOperation());
    expect(vm.state).toBe("running");
    expect(host.calls.log).not.toContain("guestAgent.powerOff");
  });

  it("lets nobody in between", async () => {
    const { vmService, id } = await running();
    const seen: string[] = [];
    const first = vmService
      .restart(id, fakeOperation())
      .then(({ state }) => seen.push(state));
    const second = vmService
      .reconfigure(id, { vcpus: 2 }, fakeOperation())
      .catch((error: unknown) => seen.push((error as { code: string }).code));
    await Promise.all([first, second]);
    expect(seen).toEqual(["running", "ERR_VM_STATE"]);
  });

  it("starts nothing when the stop left something", async () => {
    const { host, vmService, id } = await running();
    host.calls.expect({ at: 1, call: "network.remove", moment: "before" });
    await expect(vmService.restart(id, fakeOperation())).rejects.toMatchObject(
      code("ERR_SEVERAL"),
    );
    expect((await vmService.get(id)).state).toBe("error");
    expect(host.vmm.launches).toHaveLength(1);
  });

  it("watches the new VMM", async () => {
    const { host, vmService, id, kept } = await running();
    await vmService.restart(id, fakeOperation());
    host.vmm.end(id);
    await vi.waitFor(async () =>
      expect((await vmService.get(id)).state).toBe("stopped"),
    );
    expect(host.inventory()).toEqual(kept);
  });
});

describe("stop", () => {
  it("powers off a guest that runs on in state error", async () => {
    const { host, vmService, id, kept } = await running();
    await host.vmStore.update(id, () => ({ state: "error" }));
    host.calls.expect();
    expect((await vmService.stop(id, {}, fakeOperation())).state).toBe(
      "stopped",
    );
    expect(host.calls.log).toContain("guestAgent.powerOff");
    expect(host.inventory()).toEqual(kept);
  });
});

describe("kill", () => {
  it.each<VmmSignal>(["KILL", "TERM", "USR1"])(
    "ends a VM with %s, without asking the guest, and removes everything",
    async (signal) => {
      const { host, vmService, id, kept } = await running();
      host.calls.expect();
      const vm = await vmService.kill(id, signal, fakeOperation());
      expect(vm.state).toBe("stopped");
      expect(host.calls.log).not.toContain("guestAgent.powerOff");
      expect(host.vmm.signals).toEqual(signal === "KILL" ? [] : [signal]);
      expect(host.inventory()).toEqual(kept);
    },
  );

  it("is fine for a VM that does not run", async () => {
    const { host, vmService, id } = await running();
    await vmService.stop(id, {}, fakeOperation());
    const vm = await vmService.kill(id, "TERM", fakeOperation());
    expect(vm.state).toBe("stopped");
    expect(host.vmm.signals).toEqual([]);
  });

  it("ends the VM although the signal cannot be sent", async () => {
    const { host, vmService, id, kept } = await running();
    host.calls.expect({ at: 1, call: "vmmDriver.signal", moment: "before" });
    const vm = await vmService.kill(id, "TERM", fakeOperation());
    expect(vm.state).toBe("stopped");
    expect(host.inventory()).toEqual(kept);
  });
});

describe("a guest that is asked to power off", () => {
  it.each([
    ["power-off", "sync; exec systemctl poweroff --force"],
    ["reboot", "sync; exec systemctl reboot --force"],
  ])("is asked over SSH when its agent is dead: %s", async (endsOn, script) => {
    const { host, vmService, id } = await running();
    Object.assign(host.vmm.features, { endsOn });
    const call = "guestAgent.powerOff";
    host.calls.expect({ at: 1, call, moment: "before" });
    const { exec } = host.guestSsh;
    const asked: unknown[] = [];
    host.guestSsh.exec = (vm, ...rest: unknown[]) => {
      asked.push(rest[0]);
      host.vmm.end(vm.id);
      return exec.call(host.guestSsh, vm);
    };
    const operation = fakeOperation();
    expect((await vmService.stop(id, {}, operation)).state).toBe("stopped");
    expect(asked).toEqual([
      {
        argv: ["sh", "-c", script],
        cwd: "/",
      },
    ]);
    expect(operation.stages.join()).not.toContain("warning");
  });

  it("is asked over SSH when its agent hangs", async () => {
    const { host, vmService, id } = await running({ stopTimeoutMs: 600 });
    host.guestAgent.powerOff = () => new Promise(() => undefined);
    const exec = host.guestSsh.exec.bind(host.guestSsh);
    host.guestSsh.exec = (vm) => {
      host.vmm.end(vm.id);
      return exec(vm);
    };
    host.calls.expect();
    expect((await vmService.stop(id, {}, fakeOperation())).state).toBe(
      "stopped",
    );
    expect(host.calls.log).toContain("guestSsh.exec");
  });

  it("is ended when it cannot be asked at all, with a warning", async () => {
    const { host, vmService, id, kept } = await running();
    const refuse = () => Promise.reject(new Error("no answer"));
    host.guestAgent.powerOff = refuse;
    host.guestSsh.exec = refuse;
    const operation = fakeOperation();
    expect((await vmService.stop(id, {}, operation)).state).toBe("stopped");
    expect(operation.stages).toContain(
      "stop: warning: the guest cannot be asked to power off",
    );
    expect(host.inventory()).toEqual(kept);
  });
});

describe("touch", () => {
  it("notes the time, also while an operation has the VM's lock", async () => {
    const { host, vmService, id, name } = await running();
    await vmService.stop(id, {}, fakeOperation());
    host.guestAgent.behaviour = "hangs";
    const aborts = new AbortController();
    const start = vmService.start(id, fakeOperation(aborts.signal));
    await host.vmStore.update(id, ({ runtime }) => ({
      runtime: { ...runtime, lastUsedAt: "2026-01-01T00:00:00.000Z" },
    }));
    const { runtime } = await vmService.touch(name);
    expect(Date.parse(runtime.lastUsedAt ?? "")).toBeGreaterThan(
      Date.parse("2026-01-01T00:00:00.000Z"),
    );
    aborts.abort();
    await expect(start).rejects.toMatchObject(code("ERR_CANCELLED"));
  });

  it("comes with every start", async () => {
    const { vmService, id } = await running();
    expect((await vmService.get(id)).runtime.lastUsedAt).toMatch(/^20.*Z$/);
  });
});

describe("prune", () => {
  it("deletes those of the given that nobody uses, in the order given", async () => {
    const { host, vmService, id } = await running();
    const [created, stopped, failed, spared] = await Promise.all(
      [1, 2, 3, 4].map(() => vmService.create({}, fakeOperation())),
    );
    await vmService.start(stopped!.id, fakeOperation());
    await vmService.stop(stopped!.id, {}, fakeOperation());
    await host.vmStore.update(failed!.id, () => ({ state: "error" }));
    const ids = [failed!.id, id, stopped!.id, created!.id, failed!.id];
    const deleted = await vmService.prune(ids, fakeOperation());
    expect(deleted.map((vm) => vm.id)).toEqual([
      failed!.id,
      stopped!.id,
      created!.id,
    ]);
    const left = (await vmService.list()).map((vm) => vm.id);
    expect(left.sort()).toEqual([id, spared!.id].sort());
  });

  it("spares a VM in state error whose VMM runs", async () => {
    const { host, vmService, id } = await running();
    await host.vmStore.update(id, () => ({ state: "error" }));
    expect(await vmService.prune([id], fakeOperation())).toEqual([]);
    expect(host.inventory()).toContain(fakeThings.process(id));
  });

  it("spares a VM that is being started, and does not wait for it", async () => {
    const { host, vmService, id } = await running();
    await vmService.stop(id, {}, fakeOperation());
    host.guestAgent.behaviour = "hangs";
    const aborts = new AbortController();
    const start = vmService.start(id, fakeOperation(aborts.signal));
    expect(await vmService.prune([id], fakeOperation())).toEqual([]);
    aborts.abort();
    await expect(start).rejects.toMatchObject(code("ERR_CANCELLED"));
    expect((await vmService.get(id)).state).toBe("stopped");
  });

  it("tries all, and names what failed", async () => {
    const { host, vmService } = await running();
    const vms = await Promise.all(
      Array.from({ length: 20 }, () => vmService.create({}, fakeOperation())),
    );
    host.calls.expect({ at: 3, call: "vmFiles.removeAll", moment: "before" });
    const ids = vms.map((vm) => vm.id);
    await expect(vmService.prune(ids, fakeOperation())).rejects.toMatchObject({
      code: "ERR_SEVERAL",
      message: "1 of 20 VMs could not be deleted; 19 are gone",
      details: [expect.stringContaining("is not deleted") as string],
    });
    expect(await vmService.list()).toHaveLength(2);
  });
});
