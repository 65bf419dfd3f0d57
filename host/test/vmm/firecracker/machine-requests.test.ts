import { fakeVm } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import {
  machineRequests,
  type MachinePaths,
  type MachineRequest,
} from "../../../src/vmm/firecracker/machine-requests.js";
import { sampleLaunch, sampleMachine } from "../sample-launch.js";

const paths: MachinePaths = {
  kernel: "/k",
  initrd: "/i",
  log: "/log",
  metrics: "/metrics",
  vsock: "/run/1/vsock.sock",
  drive: (id, { path }) => `${path}:${id}`,
};

const tap = { kind: "tap", device: "tap-1" } as const;
const drives = {
  root: { path: "/vms/1/root.raw", format: "raw", readOnly: false },
  work: { path: "/dev/dm-3", format: "raw", readOnly: true },
} as const;
const nics = { net0: { mac: "02:00:00:00:00:01", backend: tap } };
const vm = fakeVm({ runtime: { vsockCid: 77 } });

function requestsOf(
  machine: Parameters<typeof sampleMachine>[0] = {},
): readonly MachineRequest[] {
  const full = sampleMachine({ drives, nics, ...machine });
  return machineRequests(
    sampleLaunch({ accel: "kvm", machine: full }, vm),
    paths,
  );
}

describe("machineRequests", () => {
  it("is exactly this for a plain machine", () => {
    expect(requestsOf()).toEqual([
      {
        put: "logger",
        body: { log_path: "/log", level: "Warning", show_level: true },
      },
      { put: "metrics", body: { metrics_path: "/metrics" } },
      {
        put: "machine-config",
        body: { vcpu_count: 2, mem_size_mib: 512, smt: false },
      },
      {
        put: "boot-source",
        body: {
          kernel_image_path: "/k",
          initrd_path: "/i",
          boot_args:
            "console=ttyS0 quiet panic=-1 net.ifnames=0 random.trust_cpu=on 8250.nr_uarts=1 audit=0 reboot=k pci=off i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd",
        },
      },
      {
        put: "drive",
        body: {
          drive_id: "root",
          path_on_host: "/vms/1/root.raw:root",
          is_root_device: true,
          is_read_only: false,
          cache_type: "Writeback",
          io_engine: "Sync",
        },
      },
      {
        put: "drive",
        body: {
          drive_id: "work",
          path_on_host: "/dev/dm-3:work",
          is_root_device: false,
          is_read_only: true,
          cache_type: "Writeback",
          io_engine: "Sync",
        },
      },
      {
        put: "network-interface",
        body: {
          iface_id: "net0",
          host_dev_name: "tap-1",
          guest_mac: "02:00:00:00:00:01",
        },
      },
      {
        put: "vsock",
        body: { guest_cid: 77, uds_path: "/run/1/vsock.sock" },
      },
      { put: "entropy", body: {} },
      { put: "start" },
    ]);
  });

  it.each([1, 3, 32])("gives a guest %i vCPUs", (vcpus) => {
    expect(requestsOf({ vcpus })[2]).toMatchObject({
      body: { vcpu_count: vcpus },
    });
  });

  it.each([
    ["33 vCPUs", { vcpus: 33 }],
    [
      "qcow2",
      { drives: { root: { ...drives.root, format: "qcow2" as const } } },
    ],
    [
      "user networking",
      {
        nics: {
          net0: { mac: "02:0", backend: { kind: "user", forwards: [] } },
        },
      } as const,
    ],
    ["channel x.y", { channels: { "x.y": { socketPath: "/run/1/x" } } }],
  ])("refuses %s before anything is made", (words, machine) => {
    expect(() => requestsOf(machine)).toThrow(
      expect.objectContaining({
        code: "ERR_MACHINE_UNSUPPORTED",
        kind: "usage",
        message: expect.stringContaining(words) as string,
      }) as Error,
    );
  });

  it.each(["reboot", "pci", "panic", "i8042.noaux"])(
    "refuses a plugin that wants the kernel argument %s",
    (key) => {
      expect(() => requestsOf({ kernelArgs: { [key]: "x" } })).toThrow(
        expect.objectContaining({ code: "ERR_SLOT_CONFLICT" }) as Error,
      );
    },
  );
});
