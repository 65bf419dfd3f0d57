import type { Image, VmmDriver, VmmFeatures, VmmRequest } from "@banger/core";
import { fakeImage, fakeOperation } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import type { KvmProbe, KvmVerdict } from "../../src/vmm/kvm-probe.js";
import {
  InstalledVmmDrivers,
  type InstalledVmm,
  type VmmProgram,
} from "../../src/vmm/vmm-drivers.js";

const features = {
  firecracker: {
    nics: ["tap"],
    diskFormats: ["raw"],
    agentTransport: "vsock",
  },
  qemu: {
    nics: ["user", "tap"],
    diskFormats: ["qcow2", "raw"],
    agentTransport: "virtio-serial",
  },
} as const;

interface Host {
  /** does a probe boot of it succeed? absent: it is not installed */
  readonly firecracker?: boolean;
  readonly qemu?: boolean;
}

class World {
  /** drivers whose probe was asked, with the image */
  readonly probed: [string, Image][] = [];
  readonly drivers: InstalledVmmDrivers;

  constructor(host: Host) {
    this.drivers = new InstalledVmmDrivers({
      installed: [
        this.#vmm("firecracker", host.firecracker),
        this.#vmm("qemu", host.qemu),
      ],
    });
  }

  choose(
    request: Partial<VmmRequest> = {},
    image = fakeImage(),
  ): ReturnType<InstalledVmmDrivers["choose"]> {
    return this.drivers.choose(
      { driver: "auto", accel: "auto", nic: "tap", ...request },
      image,
      fakeOperation(),
    );
  }

  #vmm(id: "firecracker" | "qemu", works: boolean | undefined): InstalledVmm {
    const verdict: KvmVerdict = {
      key: "",
      works: works === true,
      reason: `guests of ${id} hang: for long`,
      checkedAt: "2026-01-02T03:04:05.000Z",
    };
    const kvmProbe = {
      verdict: (image: Image) => {
        this.probed.push([id, image]);
        return Promise.resolve(verdict);
      },
      last: () => Promise.resolve(verdict),
    } as unknown as KvmProbe;
    const program: VmmProgram =
      works === undefined
        ? { problem: "it is not installed" }
        : { path: `/usr/bin/${id}` };
    return {
      driver: {
        id,
        features: features[id] as unknown as VmmFeatures,
      } as VmmDriver,
      kvmProbe,
      emulates: id === "qemu",
      program: () => Promise.resolve(program),
      version: () => Promise.resolve("1.2"),
    };
  }
}

describe("auto", () => {
  it("prefers Firecracker on KVM, on an interface that it has", async () => {
    const world = new World({ firecracker: true, qemu: true });
    expect(await world.choose()).toEqual({
      driver: "firecracker",
      accel: "kvm",
      reason: "KVM",
    });
    expect(world.probed).toEqual([["firecracker", fakeImage()]]);
  });

  it.each<[string, Host, Partial<VmmRequest>]>([
    ["is not installed", { qemu: true }, {}],
    [
      "has no such interface",
      { firecracker: true, qemu: true },
      { nic: "user" },
    ],
    [
      "does not read the VM's disk",
      { firecracker: true, qemu: true },
      { diskFormat: "qcow2" },
    ],
    ["hangs", { firecracker: false, qemu: true }, {}],
  ])("takes QEMU where Firecracker %s", async (_why, host, request) => {
    const choice = await new World(host).choose(request);
    expect(choice).toMatchObject({ driver: "qemu", accel: "kvm" });
  });

  it("takes QEMU for an image whose agent Firecracker cannot reach", async () => {
    const old = fakeImage({ agentTransports: ["virtio-serial"] });
    const world = new World({ firecracker: true, qemu: true });
    expect(await world.choose({}, old)).toMatchObject({ driver: "qemu" });
    await expect(
      world.choose({ driver: "firecracker" }, old),
    ).rejects.toMatchObject({
      code: "ERR_VMM_UNUSABLE",
      message: expect.stringContaining("banger image build debian") as string,
    });
  });

  it("falls back to emulation and says why, and what it is not", async () => {
    const world = new World({ firecracker: false, qemu: false });
    const choice = await world.choose();
    expect(choice).toMatchObject({ driver: "qemu", accel: "emulate" });
    expect(choice.reason).toContain("because guests of qemu hang");
    expect(choice.reason).toContain("no isolation boundary");
    expect(choice.reason).not.toContain("for long");
  });

  it("emulates without a probe when asked to", async () => {
    const world = new World({ firecracker: true, qemu: true });
    const choice = await world.choose({ accel: "emulate" });
    expect(choice).toMatchObject({ driver: "qemu", accel: "emulate" });
    expect(world.probed).toEqual([]);
  });

  it("refuses KVM that was asked for and works on none", async () => {
    const world = new World({ firecracker: false, qemu: false });
    await expect(world.choose({ accel: "kvm" })).rejects.toMatchObject({
      code: "ERR_KVM_UNUSABLE",
      kind: "unavailable",
    });
    expect(world.probed.map(([id]) => id)).toEqual(["firecracker", "qemu"]);
  });

  it("says what each lacks when there is none", async () => {
    await expect(
      new World({ firecracker: true }).choose({ nic: "user" }),
    ).rejects.toMatchObject({
      code: "ERR_VMM_UNUSABLE",
      details: [
        expect.stringContaining("firecracker: it has no user networking"),
        "qemu: it is not installed",
      ],
    });
  });
});

describe("a driver asked for by name", () => {
  it("is taken, whatever auto prefers", async () => {
    const world = new World({ firecracker: true, qemu: true });
    expect(await world.choose({ driver: "qemu" })).toMatchObject({
      driver: "qemu",
      accel: "kvm",
    });
    expect(world.probed.map(([id]) => id)).toEqual(["qemu"]);
  });

  it("is refused where it cannot run the VM, and nothing else is taken", async () => {
    const world = new World({ firecracker: true, qemu: true });
    await expect(
      world.choose({ driver: "firecracker", diskFormat: "qcow2" }),
    ).rejects.toMatchObject({
      code: "ERR_VMM_UNUSABLE",
      message: expect.stringContaining("root disk is qcow2") as string,
    });
    await expect(
      world.choose({ driver: "firecracker", accel: "emulate" }),
    ).rejects.toMatchObject({ code: "ERR_VMM_UNUSABLE" });
  });

  it("is refused without KVM when it cannot emulate", async () => {
    await expect(
      new World({ firecracker: false }).choose({ driver: "firecracker" }),
    ).rejects.toMatchObject({
      code: "ERR_KVM_UNUSABLE",
      message: expect.stringContaining("guests of firecracker hang") as string,
    });
  });
});

it("says what no host could change before anything is looked at", async () => {
  const { drivers, probed } = new World({ qemu: true });
  const request = { driver: "auto", accel: "auto", nic: "user" } as const;
  expect(() => drivers.requireFit(request)).not.toThrow();
  // It is not installed, and that may change.
  expect(() =>
    drivers.requireFit({ ...request, driver: "firecracker", nic: "tap" }),
  ).not.toThrow();
  for (const impossible of [
    { ...request, driver: "firecracker" },
    { ...request, driver: "firecracker", nic: "tap", accel: "emulate" },
  ] as const)
    expect(() => drivers.requireFit(impossible)).toThrow(
      expect.objectContaining({ code: "ERR_VMM_UNUSABLE" }) as Error,
    );
  expect(() => drivers.requireFit({ ...request, driver: "xen" })).toThrow(
    expect.objectContaining({ code: "ERR_VMM_DRIVER_NOT_FOUND" }) as Error,
  );
  expect(probed).toEqual([]);
});

it("tells what each driver could do for a VM", async () => {
  const request = { driver: "auto", accel: "auto", nic: "user" } as const;
  const { signal } = new AbortController();
  const world = new World({ qemu: false });
  expect(await world.drivers.outlook(request, signal)).toMatchObject([
    {
      id: "firecracker",
      program: { problem: "it is not installed" },
      emulates: false,
    },
    { id: "qemu", unfit: undefined, emulates: true, kvm: { works: false } },
  ]);
  expect(world.probed).toEqual([]);
});

it("gets a driver by id and suggests the nearest", () => {
  const { drivers } = new World({});
  expect(drivers.get("qemu").id).toBe("qemu");
  expect(() => drivers.get("qmeu")).toThrow(
    expect.objectContaining({
      code: "ERR_VMM_DRIVER_NOT_FOUND",
      hint: "Did you mean qemu?",
    }),
  );
});
