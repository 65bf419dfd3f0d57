import type { GuestConfig, MachineConfig } from "@banger/core";

export function sampleGuest(overrides: Partial<GuestConfig> = {}): GuestConfig {
  return {
    hostname: "calm-otter",
    network: {
      address: "10.0.2.15/24",
      gateway: "10.0.2.2",
      nameservers: ["10.0.2.3"],
    },
    files: {},
    mounts: {},
    units: {},
    archives: {},
    ...overrides,
  };
}

export const sampleMachine: MachineConfig = {
  vcpus: 1,
  memoryMiB: 512,
  drives: {
    root: { path: "/root.qcow2", format: "qcow2", readOnly: false },
    work: { path: "/work.img", format: "raw", readOnly: false },
  },
  nics: {},
  egress: {},
  kernelArgs: {},
  channels: {},
};
