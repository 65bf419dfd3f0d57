import type { GuestKeys } from "../contracts/guest-keys.js";
import type { HostFacts } from "../contracts/host-facts.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { Image } from "../model/image.js";
import { TimelineRecorder } from "../model/timeline.js";
import {
  isVmId,
  type VmId,
  type VmRecord,
  type VmRuntime,
  type VmSpec,
} from "../model/vm.js";
import { memoryLogger, type MemoryLogger } from "./memory-logger.js";

/** A VM id for tests: the number in hexadecimal, in 12 digits. */
export function fakeVmId(number = 1): VmId {
  const id = number.toString(16).padStart(12, "0");
  if (!isVmId(id)) throw new Error(`${String(number)} makes no VM id`);
  return id;
}

/** A VM in state `created` with two vCPUs, 512 MiB, a 64 MiB disk and no plugins. */
export function fakeVm(
  overrides: Partial<Omit<VmRecord, "spec" | "runtime">> & {
    readonly spec?: Partial<VmSpec>;
    readonly runtime?: Partial<VmRuntime>;
  } = {},
): VmRecord {
  const { spec, runtime, ...rest } = overrides;
  const id = rest.id ?? fakeVmId();
  const name = rest.name ?? "calm-otter";
  return {
    id,
    name,
    imageId: "debian-000000000000",
    state: "created",
    createdAt: "2026-01-02T03:04:05.000Z",
    updatedAt: "2026-01-02T03:04:05.000Z",
    ...rest,
    spec: {
      image: "debian",
      vcpus: 2,
      memoryMiB: 512,
      diskSizeBytes: 64 * 2 ** 20,
      nat: false,
      accel: "auto",
      driver: "auto",
      plugins: [],
      ephemeral: false,
      ...spec,
    },
    runtime: {
      directory: `/nonexistent/vms/${id}`,
      runDirectory: `/nonexistent/run/${id}`,
      guestIp: "127.77.0.1",
      ssh: { host: "127.77.0.1", port: 22 },
      dnsName: `${name}.vm`,
      networkMode: "user",
      startedPlugins: [],
      teardown: {},
      ...runtime,
    },
  };
}

/** An image whose files do not exist. */
export function fakeImage(overrides: Partial<Image> = {}): Image {
  return {
    id: "debian-000000000000",
    name: "debian",
    createdAt: "2026-01-01T00:00:00.000Z",
    distribution: "Debian 12",
    architecture: "x86_64",
    kernelVersion: "6.1.0",
    sizeBytes: 2 ** 29,
    rootSizeBytes: 2 ** 30,
    agentTransports: ["virtio-serial", "vsock"],
    files: {
      rootfs: "/nonexistent/images/debian/rootfs.ext4",
      kernel: "/nonexistent/images/debian/kernel",
      initrd: "/nonexistent/images/debian/initrd",
    },
    ...overrides,
  };
}

/** Four CPUs, 8 GiB, no root. */
export function fakeHostFacts(overrides: Partial<HostFacts> = {}): HostFacts {
  return {
    cpus: 4,
    memoryMiB: 8192,
    architecture: "x86_64",
    isRoot: false,
    homeDirectory: "/nonexistent/home",
    ...overrides,
  };
}

/** Keys that look like keys and open nothing. */
export function fakeGuestKeys(): GuestKeys {
  return {
    authorizedKey: async () => "ssh-ed25519 AAAAfakeauthorizedkey banger",
    hostKey: async () => ({
      privateKey: "fake private key\n",
      publicKey: "ssh-ed25519 AAAAfakehostkey",
    }),
  };
}

/** An operation whose progress and log are kept. */
export interface FakeOperation extends OperationContext {
  readonly logger: MemoryLogger;
  /** `stage: text`, in order */
  readonly stages: readonly string[];
}

export function fakeOperation(
  signal: AbortSignal = new AbortController().signal,
): FakeOperation {
  const stages: string[] = [];
  return {
    id: "op-00000000",
    signal,
    logger: memoryLogger({ operation: "op-00000000" }),
    timeline: new TimelineRecorder(),
    stages,
    progress: (stage, text) => stages.push(`${stage}: ${text}`),
  };
}
