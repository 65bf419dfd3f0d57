import type { VmmRequest } from "@banger/core";
import { expect, it } from "vitest";
import {
  accelCheck,
  usualRequest,
  vmmCheck,
} from "../../src/doctor/vmm-checks.js";
import type { KvmVerdict } from "../../src/vmm/kvm-probe.js";
import type { VmmOutlook } from "../../src/vmm/vmm-drivers.js";

const request: VmmRequest = { driver: "auto", accel: "auto", nic: "tap" };

function verdict(works: boolean): KvmVerdict {
  const checkedAt = "2026-01-02T03:04:05.000Z";
  return { key: "", works, reason: "guests hang", checkedAt };
}

function outlook(id: string, overrides: Partial<VmmOutlook> = {}): VmmOutlook {
  return {
    id,
    program: { path: `/usr/bin/${id}` },
    version: "1.14",
    unfit: undefined,
    emulates: id === "qemu",
    kvm: undefined,
    ...overrides,
  };
}

const absent = {
  program: { problem: "it is not installed", fix: "get it" },
  version: undefined,
};

function on(...vmms: readonly VmmOutlook[]): Parameters<typeof vmmCheck>[0] {
  return {
    vmmDrivers: { outlook: () => Promise.resolve(vmms) },
    request,
    obstacle: () => Promise.resolve(undefined),
  };
}

it("names the VMM that runs new VMs, its version and file, and why not the other", async () => {
  const both = on(outlook("firecracker"), outlook("qemu"));
  expect(await vmmCheck(both)).toMatchObject({
    status: "pass",
    detail:
      "firecracker 1.14 (/usr/bin/firecracker) runs new VMs; qemu 1.14: the other is preferred",
  });
  const qemu = on(outlook("firecracker", absent), outlook("qemu"));
  expect((await vmmCheck(qemu)).detail).toBe(
    "qemu 1.14 (/usr/bin/qemu) runs new VMs; firecracker: it is not installed",
  );
  const unfit = on(
    outlook("firecracker", { unfit: "it has no user networking" }),
    outlook("qemu"),
  );
  expect((await vmmCheck(unfit)).detail).toContain(
    "firecracker 1.14: it has no user networking",
  );
  const hangs = on(
    outlook("firecracker", { kvm: verdict(false) }),
    outlook("qemu", { kvm: verdict(false) }),
  );
  expect((await vmmCheck(hangs)).detail).toContain(
    "firecracker 1.14: guests hang",
  );
});

it("keeps to the configured driver, and fails when it cannot be used", async () => {
  const asked = {
    ...on(outlook("firecracker"), outlook("qemu")),
    request: { ...request, driver: "qemu" },
  };
  expect((await vmmCheck(asked)).detail).toBe(
    "qemu 1.14 (/usr/bin/qemu) runs new VMs; firecracker 1.14: vmm.driver is qemu",
  );
  const lacking = {
    ...on(outlook("firecracker", absent), outlook("qemu")),
    request: { ...request, driver: "firecracker" },
  };
  expect(await vmmCheck(lacking)).toMatchObject({
    status: "fail",
    detail: expect.stringContaining("it is not installed") as string,
    fix: "get it",
  });
});

it("tells an unusable device, a failed probe and one to come apart", async () => {
  const failed = on(outlook("qemu", { kvm: verdict(false) }));
  expect(await accelCheck(failed)).toMatchObject({
    status: "warn",
    detail: expect.stringContaining(
      "guests hang (probed 2026-01-02)",
    ) as string,
  });
  const shut = {
    ...failed,
    obstacle: () => Promise.resolve({ reason: "no device", fix: "do this" }),
  };
  expect(await accelCheck(shut)).toMatchObject({
    status: "warn",
    detail: expect.stringContaining("no device, so software") as string,
    fix: "do this",
  });
  expect(await accelCheck(on(outlook("qemu")))).toMatchObject({
    status: "pass",
    detail: expect.stringContaining("the first start probes it") as string,
  });
  const works = on(outlook("qemu", { kvm: verdict(true) }));
  expect((await accelCheck(works)).detail).toBe("KVM (probed 2026-01-02)");
});

it("says that no VM runs where the only VMM needs KVM", async () => {
  const alone = on(outlook("firecracker", { kvm: verdict(false) }));
  expect((await accelCheck(alone)).detail).toContain("so no VM runs");
});

it("asks for a TAP in the bridge mode", () => {
  const vmm = { driver: "auto", accel: "kvm" } as const;
  const config = (
    mode: "user" | "bridge",
  ): Parameters<typeof usualRequest>[0] =>
    ({ vmm, network: { mode } }) as Parameters<typeof usualRequest>[0];
  expect(usualRequest(config("bridge"))).toEqual({ ...vmm, nic: "tap" });
  expect(usualRequest(config("user"))).toEqual({ ...vmm, nic: "user" });
});
