import type { VmId, VmRecord } from "@banger/core";

/** A VM id made from a number. */
export function vmId(number: number): VmId {
  return number.toString(16).padStart(12, "0") as VmId;
}

/** A record with everything that a new VM has. */
export function sampleVm(
  id: VmId,
  name: string,
  root = "/nowhere",
  lease = 1,
): VmRecord {
  return {
    id,
    name,
    imageId: "debian-bookworm-000000000000",
    state: "created",
    createdAt: "2026-01-02T03:04:05.000Z",
    updatedAt: "2026-01-02T03:04:05.000Z",
    spec: {
      image: "debian-bookworm",
      vcpus: 2,
      memoryMiB: 1024,
      diskSizeBytes: 2 ** 33,
      nat: true,
      plugins: ["work-disk", "nat"],
      accel: "auto",
      driver: "auto",
      ephemeral: false,
    },
    runtime: {
      directory: `${root}/vms/${id}`,
      runDirectory: `${root}/run/vms/${id}`,
      guestIp: `127.77.0.${lease.toString()}`,
      ssh: { host: `127.77.0.${lease.toString()}`, port: 22 },
      dnsName: `${name}.vm`,
      networkMode: "user",
      startedPlugins: [],
      teardown: {},
    },
  };
}
