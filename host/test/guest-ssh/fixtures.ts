import type { Endpoint, Logger, VmId, VmRecord } from "@banger/core";

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

/** A running VM as the store has it, with the places a test cares about. */
export function fakeVm(
  places: {
    name?: string;
    directory?: string;
    runDirectory?: string;
    ssh?: Endpoint;
  } = {},
): VmRecord {
  const name = places.name ?? "box";
  const id = Buffer.from(name.padEnd(6, "-").slice(0, 6)).toString(
    "hex",
  ) as VmId;
  return {
    id,
    name,
    imageId: "image",
    state: "running",
    createdAt: "2026-01-01T00:00:00.000Z",
    updatedAt: "2026-01-01T00:00:00.000Z",
    spec: {
      image: "debian",
      vcpus: 1,
      memoryMiB: 512,
      diskSizeBytes: 1 << 30,
      nat: false,
      accel: "auto",
      driver: "auto",
      plugins: [],
      ephemeral: false,
    },
    runtime: {
      directory: places.directory ?? "/nowhere",
      runDirectory: places.runDirectory ?? "/nowhere",
      guestIp: "127.77.0.2",
      ssh: places.ssh ?? { host: "127.0.0.1", port: 1 },
      dnsName: `${name}.vm`,
      networkMode: "user",
      startedPlugins: [],
      teardown: {},
    },
  };
}
