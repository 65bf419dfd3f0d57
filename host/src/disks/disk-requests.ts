import { lstat } from "node:fs/promises";
import {
  definePrivilegedRequest,
  type Install,
  type PrivilegedContext,
  type PrivilegedRequest,
  type VmId,
} from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { withOwnedFile } from "../files/owned-file.js";
import { imageIdSchema, vmIdSchema } from "../privileged/id-schemas.js";
import { jailDirectoryOf } from "../vmm/firecracker/jail-directory.js";
import {
  kernelNameOf,
  snapshotPartFile,
  type SnapshotPart,
} from "./backing-files.js";
import { DeviceMapper } from "./device-mapper.js";
import {
  hostDevices,
  isOnFile,
  LoopDevices,
  type DeviceTree,
  type FileKey,
} from "./loop-devices.js";
import { RootDiskBusyError } from "./root-disk-errors.js";
import { mappedDevice, snapshotNames } from "./snapshot-names.js";
import { snapshotTable } from "./snapshot-table.js";

/** A VM's loop device, on the file of its image or on its overlay. */
interface LoopPart {
  readonly vm: VmId;
  readonly image: string;
  readonly part: SnapshotPart;
  /** such as `/dev/loop3` */
  readonly device: string;
}

/** What is found of a VM's snapshot. */
export interface FoundSnapshot {
  /** absent without a device of that name */
  readonly device?: "ours" | "foreign";
  /** the active one of ours, a line for each target; empty when it has none */
  readonly table?: string;
}

/** What of root disks only root may do. */
export interface DiskRequests {
  /** What speaks against snapshots on this host. Looks only. */
  readonly checkSnapshots: PrivilegedRequest<
    Nothing,
    { readonly obstacle?: { readonly reason: string; readonly fix: string } }
  >;
  /** Name of a loop device that has no file. It may get one before it is used. */
  readonly findFreeLoop: PrivilegedRequest<
    Nothing,
    { readonly device: string }
  >;
  /** Puts a file of a snapshot on a loop device; not `attached` when somebody else was quicker. */
  readonly attachLoop: PrivilegedRequest<
    LoopPart,
    { readonly attached: boolean }
  >;
  /** Takes a file of a snapshot off a loop device; does nothing to one that has another file, or something on it. */
  readonly detachLoop: PrivilegedRequest<LoopPart, Nothing>;
  /** Looks only. */
  readonly inspectSnapshot: PrivilegedRequest<
    { readonly vm: VmId },
    FoundSnapshot
  >;
  /** Makes the device over the two loop devices of a VM, which must have its files. */
  readonly createSnapshot: PrivilegedRequest<
    {
      readonly vm: VmId;
      readonly image: string;
      readonly baseLoop: string;
      readonly cowLoop: string;
    },
    Nothing
  >;
  /** Removes the device; does nothing to one of the same name that is another VM's. */
  readonly removeSnapshot: PrivilegedRequest<{ readonly vm: VmId }, Nothing>;
}

type Nothing = Readonly<Record<string, never>>;

const nothing: z.ZodType<Nothing> = z.strictObject({});
/** Below 4096: the kernel gives out the lowest number that is free, so an owner may not have more of them than these. */
const loopDevice = z
  .string()
  .regex(
    /^\/dev\/loop(?:\d{1,3}|[1-3]\d{3}|40(?:[0-8]\d|9[0-5]))$/,
    "no loop device",
  );
const loopPart = z.strictObject({
  vm: vmIdSchema,
  image: imageIdSchema,
  part: z.enum(["base", "overlay"]),
  device: loopDevice,
});

/** Longest run of a request, ms: some commands of up to 20 s each, of which a removal may need three. */
const limitMs = 90_000;

/** Pure. */
export function diskRequests(settings: {
  /** where jails are */
  readonly jailBase: string;
  /** default: the host's */
  readonly devices?: DeviceTree;
  /** between attempts to remove a device that is in use */
  readonly pauseMs?: number;
}): DiskRequests {
  const { jailBase, devices = hostDevices, pauseMs } = settings;
  const loopsOf = ({ commands }: PrivilegedContext): LoopDevices =>
    new LoopDevices(commands, devices);
  const mapperOf = ({ commands }: PrivilegedContext): DeviceMapper =>
    new DeviceMapper(commands, devices, pauseMs);
  return {
    checkSnapshots: definePrivilegedRequest({
      name: "disk.check-snapshots",
      input: nothing,
      output: z.strictObject({
        obstacle: z
          .strictObject({ reason: z.string(), fix: z.string() })
          .exactOptional(),
      }),
      timeoutMs: limitMs,
      async run(_, context) {
        const obstacle = await mapperOf(context).missingTarget("snapshot");
        return obstacle ? { obstacle } : {};
      },
    }),
    findFreeLoop: definePrivilegedRequest({
      name: "disk.find-free-loop",
      input: nothing,
      output: z.strictObject({ device: loopDevice }),
      timeoutMs: limitMs,
      async run(_, context) {
        return { device: await loopsOf(context).free(context.signal) };
      },
    }),
    attachLoop: definePrivilegedRequest({
      name: "disk.attach-loop",
      input: loopPart,
      output: z.strictObject({ attached: z.boolean() }),
      timeoutMs: limitMs,
      async run({ device, ...which }, context) {
        const { install, signal } = context;
        const file = snapshotPartFile(install, which, which.part);
        const readOnly = which.part === "base";
        const attached = await withKey(install, file, (key) =>
          loopsOf(context).attach(device, file, readOnly, key, signal),
        );
        return { attached };
      },
    }),
    detachLoop: definePrivilegedRequest({
      name: "disk.detach-loop",
      input: loopPart,
      output: nothing,
      timeoutMs: limitMs,
      async run({ device, ...which }, context) {
        const { install } = context;
        const name = await kernelNameOf(
          install,
          snapshotPartFile(install, which, which.part),
        );
        // One with something on it stays: on the image it is another VM's, which took the number after us, and on the overlay the
        // device-mapper device is what could not be removed.
        await loopsOf(context).detach(
          device,
          (loop) => isOnFile(loop, name) && loop.holders.length === 0,
        );
        return {};
      },
    }),
    inspectSnapshot: definePrivilegedRequest({
      name: "disk.inspect-snapshot",
      input: z.strictObject({ vm: vmIdSchema }),
      output: z.strictObject({
        device: z.enum(["ours", "foreign"]).exactOptional(),
        table: z.string().exactOptional(),
      }),
      timeoutMs: limitMs,
      async run({ vm }, context) {
        const mapper = mapperOf(context);
        const device = mappedDevice({ id: vm });
        const uuid = await mapper.findUuid(device.name);
        if (uuid === undefined) return {};
        if (uuid !== device.uuid) return { device: "foreign" } as const;
        const table = await mapper.table(device.name, context.signal);
        return { device: "ours", table } as const;
      },
    }),
    createSnapshot: definePrivilegedRequest({
      name: "disk.create-snapshot",
      input: z.strictObject({
        vm: vmIdSchema,
        image: imageIdSchema,
        baseLoop: loopDevice,
        cowLoop: loopDevice,
      }),
      output: nothing,
      timeoutMs: limitMs,
      async run({ vm, image, baseLoop, cowLoop }, context) {
        const { install, signal } = context;
        const loops = loopsOf(context);
        const look = (
          device: string,
          part: SnapshotPart,
        ): Promise<{ sizeBytes: number; number: string }> => {
          const file = snapshotPartFile(install, { vm, image }, part);
          return withKey(install, file, async (key, sizeBytes) => {
            const loop = await loops.find(device);
            const isOurs =
              loop?.readOnly === (part === "base") &&
              (await loops.holds(device, key, signal));
            if (!isOurs)
              throw new RootDiskBusyError(device, `is not on ${file}`);
            return { sizeBytes, number: loop.number };
          });
        };
        const base = await look(baseLoop, "base");
        const cow = await look(cowLoop, "overlay");
        const mapper = mapperOf(context);
        const device = mappedDevice({ id: vm });
        const tableOver = (...on: [base: string, cow: string]): string =>
          snapshotTable(base.sizeBytes, ...on);
        const isMade =
          (await mapper.findUuid(device.name)) === device.uuid &&
          (await mapper.table(device.name, signal)) ===
            tableOver(base.number, cow.number);
        if (isMade) return {};
        await mapper.create(device, tableOver(baseLoop, cowLoop), signal);
        try {
          // Somebody else may have had the loop devices by then; from here on they are in use.
          await look(baseLoop, "base");
          await look(cowLoop, "overlay");
        } catch (error) {
          await mapper.remove(device);
          throw error;
        }
        return {};
      },
    }),
    removeSnapshot: definePrivilegedRequest({
      name: "disk.remove-snapshot",
      input: z.strictObject({ vm: vmIdSchema }),
      output: nothing,
      timeoutMs: limitMs,
      async run({ vm }, context) {
        const mapper = mapperOf(context);
        const device = mappedDevice({ id: vm });
        const uuid = await mapper.findUuid(device.name);
        if (uuid !== device.uuid) return {};
        // The jail has a node of its numbers, which the next device of this host gets.
        if (await isThere(jailDirectoryOf(jailBase, vm)))
          throw new RootDiskBusyError(
            snapshotNames({ id: vm }).dmDevice,
            "is in the jail of its VM",
          );
        await mapper.remove(device);
        return {};
      },
    }),
  };
}

/** A file of this install, which the owner may swap for another at any moment: known by what it is. */
function withKey<T>(
  { owner }: Install,
  path: string,
  use: (key: FileKey, sizeBytes: number) => Promise<T>,
): Promise<T> {
  return withOwnedFile(path, [owner.uid], async (file, { size }) =>
    use(await file.stat({ bigint: true }), size),
  );
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}
