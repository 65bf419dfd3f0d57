import type { VmId, VmRecord } from "@banger/core";

/** A VM record with these differences. */
export function sampleVm(changes: Partial<VmRecord> = {}): VmRecord {
  const name = changes.name ?? "web";
  return {
    id: "0123456789ab" as VmId,
    name,
    imageId: "debian-bookworm-0123456789ab",
    state: "running",
    createdAt: "2026-01-01T00:00:00.000Z",
    updatedAt: "2026-01-01T00:00:00.000Z",
    spec: {
      image: "debian-bookworm",
      vcpus: 2,
      memoryMiB: 2048,
      diskSizeBytes: 8 * 2 ** 30,
      nat: false,
      plugins: ["work-disk"],
      accel: "auto",
      driver: "auto",
      ephemeral: false,
    },
    runtime: {
      directory: "/state/vms/0123456789ab",
      runDirectory: "/run/vms/0123456789ab",
      guestIp: "127.77.0.1",
      ssh: { host: "127.77.0.1", port: 22 },
      dnsName: `${name}.vm`,
      networkMode: "user",
      driver: "qemu",
      accel: "emulate",
      startedPlugins: [],
      teardown: {},
    },
    ...changes,
  };
}
