import type { MachineConfig, VmmLaunch, VmRecord } from "@banger/core";
import { fakeImage, fakeVm } from "@banger/core/testing";

export function sampleMachine(
  overrides: Partial<MachineConfig> = {},
): MachineConfig {
  return {
    vcpus: 2,
    memoryMiB: 512,
    drives: {
      root: { path: "/vms/1/root.qcow2", format: "qcow2", readOnly: false },
      seed: { path: "/vms/1/seed.img", format: "raw", readOnly: true },
    },
    nics: {
      net0: {
        mac: "02:00:00:00:00:00",
        backend: {
          kind: "user",
          forwards: [{ host: "127.77.0.1", hostPort: 22, guestPort: 22 }],
        },
      },
    },
    egress: {},
    kernelArgs: {},
    channels: { "org.qemu.guest_agent.0": { socketPath: "/run/1/agent.sock" } },
    ...overrides,
  };
}

export function sampleLaunch(
  overrides: Partial<VmmLaunch> = {},
  vm: VmRecord = fakeVm({
    runtime: { directory: "/vms/1", runDirectory: "/run/1" },
  }),
): VmmLaunch {
  return {
    vm,
    machine: sampleMachine(),
    image: fakeImage(),
    accel: "emulate",
    initrdPath: "/vms/1/boot.initrd",
    ...overrides,
  };
}
