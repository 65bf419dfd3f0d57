import type { Image, VmmDriver } from "@banger/core";
import { fakeImage, fakeOperation } from "@banger/core/testing";
import { expect, it } from "vitest";
import type { KvmProbe } from "../../src/vmm/kvm-probe.js";
import { InstalledVmmDrivers } from "../../src/vmm/vmm-drivers.js";

const qemu = { id: "qemu" } as VmmDriver;

function withVerdict(works: boolean): {
  drivers: InstalledVmmDrivers;
  probed: Image[];
} {
  const probed: Image[] = [];
  const kvmProbe = {
    verdict: (image: Image) => {
      probed.push(image);
      return Promise.resolve({
        key: "",
        works,
        reason: "guests hang",
        checkedAt: "",
      });
    },
  } as unknown as KvmProbe;
  return {
    drivers: new InstalledVmmDrivers({ drivers: [qemu], kvmProbe }),
    probed,
  };
}

it("takes KVM where a probe proved it", async () => {
  const { drivers, probed } = withVerdict(true);
  const choice = await drivers.choose("auto", fakeImage(), fakeOperation());
  expect(choice).toEqual({ driver: "qemu", accel: "kvm", reason: "KVM" });
  expect(probed).toEqual([fakeImage()]);
});

it("falls back to emulation and says why, and what it is not", async () => {
  const { drivers } = withVerdict(false);
  const choice = await drivers.choose("auto", fakeImage(), fakeOperation());
  expect(choice).toMatchObject({ driver: "qemu", accel: "emulate" });
  expect(choice.reason).toContain("guests hang");
  expect(choice.reason).toContain("no isolation boundary");
});

it("refuses KVM that was asked for and does not work", async () => {
  const { drivers } = withVerdict(false);
  await expect(
    drivers.choose("kvm", fakeImage(), fakeOperation()),
  ).rejects.toMatchObject({ code: "ERR_KVM_UNUSABLE", kind: "unavailable" });
});

it("emulates without a probe when asked to", async () => {
  const { drivers, probed } = withVerdict(true);
  expect(
    await drivers.choose("emulate", fakeImage(), fakeOperation()),
  ).toMatchObject({ accel: "emulate" });
  expect(probed).toEqual([]);
});

it("gets a driver by id and suggests the nearest", () => {
  const { drivers } = withVerdict(true);
  expect(drivers.get("qemu")).toBe(qemu);
  expect(() => drivers.get("qmeu")).toThrow(
    expect.objectContaining({
      code: "ERR_VMM_DRIVER_NOT_FOUND",
      hint: "Did you mean qemu?",
    }),
  );
});
