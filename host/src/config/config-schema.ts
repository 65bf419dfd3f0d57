import { guestBridgeName, leastMemoryMiB } from "@banger/core";
import { z } from "zod";
import {
  bridgeAddressValue,
  durationValue,
  sizeValue,
} from "./config-values.js";

const pluginId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, "is not the id of a plugin");
const packageName = z
  .string()
  .max(214)
  .regex(
    /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/,
    "is not the name of a package",
  );

const programPath = z
  .string()
  .max(1_000)
  .regex(/^\/[^\0]*$/, "must be an absolute path");

function unique<Item extends z.ZodType<string>>(item: Item): z.ZodArray<Item> {
  return z
    .array(item)
    .refine((list) => new Set(list).size === list.length, "names one twice");
}

/**
 * The configuration file, without the plugins' sections. Every key says in its metadata what it means (`description`), in what it is
 * counted (`unit`), and, when its default depends on the host, how (`derived`).
 */
export const configSchema = z.strictObject({
  log_level: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .meta({ description: "least severe entries that the daemon logs" }),
  stats_poll_interval: durationValue().prefault(10).meta({
    description: "how often it is looked at what each running VM uses",
    unit: "seconds, or a string such as `3m`",
  }),
  auto_stop_stale_after: durationValue({ mostDays: 365, zero: true })
    .prefault(0)
    .meta({
      description:
        "stops a VM that nobody has used for so long: no command, no shell, no `vm touch`; 0 stops none",
      unit: "seconds, or a string such as `12h` or `7d`",
    }),
  vm_defaults: z
    .strictObject({
      image: z
        .string()
        .min(1)
        .default("debian-bookworm")
        .meta({ description: "image of a VM that names none" }),
      vcpus: z.int().min(1).exactOptional().meta({
        description: "virtual CPUs",
        unit: "count",
        derived: "a quarter of the host's CPUs, 1 to 4",
      }),
      memory: sizeValue(leastMemoryMiB).exactOptional().meta({
        description: "guest memory",
        unit: "size, a bare number is MiB",
        derived: "an eighth of the host's memory, 512M to 8G",
      }),
      disk_size: sizeValue(16).prefault("8G").meta({
        description:
          "size of the disk at /root; takes space only as it is filled",
        unit: "size, a bare number is MiB",
      }),
    })
    .prefault({}),
  vmm: z
    .strictObject({
      accel: z.enum(["auto", "kvm", "emulate"]).default("auto").meta({
        description:
          "how a guest's CPU runs; `auto` takes KVM where a probe boot has proved it",
      }),
      driver: z.enum(["auto", "firecracker", "qemu"]).default("auto").meta({
        description:
          "what runs guests; `auto` takes Firecracker where it is installed, KVM works and the network mode is `bridge`, else QEMU",
      }),
      firecracker_bin: programPath.exactOptional().meta({
        description:
          "the Firecracker program; without it `firecracker` on the PATH",
        unit: "absolute path",
      }),
      jailer_bin: programPath.exactOptional().meta({
        description: "Firecracker's jailer; without it `jailer` on the PATH",
        unit: "absolute path",
      }),
      jailer_enabled: z.boolean().default(true).meta({
        description:
          "where the daemon is root or has the root helper, Firecracker runs in a jail; where the jailer is missing it is not used then",
      }),
      jailer_chroot_base: programPath.exactOptional().meta({
        description:
          "where the jails are; on the file system of the images, as files are linked into a jail; without it `jail` in the state directory; without effect on the root helper, which has a place of its own",
        unit: "absolute path",
      }),
      ready_timeout: durationValue().prefault(180).meta({
        description: "longest wait for a guest's first answer",
        unit: "seconds, or a string such as `3m`",
      }),
      stop_timeout: durationValue().prefault(20).meta({
        description: "longest wait for a guest to power off before it is ended",
        unit: "seconds, or a string such as `3m`",
      }),
      reconcile_timeout: durationValue().prefault(30).meta({
        description:
          "longest time that looking after one VM may take when the daemon begins",
        unit: "seconds, or a string such as `3m`",
      }),
    })
    .prefault({}),
  network: z
    .strictObject({
      mode: z.enum(["user", "bridge"]).default("user").meta({
        description:
          "how new VMs are connected: `user` needs nothing of the host, `bridge` gives each a TAP device and needs root or the root helper",
      }),
      bridge: z
        .string()
        .regex(
          guestBridgeName,
          "must be br-fc, or br-fc- and 1 to 9 of a to z and 0 to 9",
        )
        .default("br-fc")
        .meta({
          description:
            "the bridge of the mode `bridge`: `br-fc`, or `br-fc-` and 1 to 9 of a to z and 0 to 9",
          unit: "name",
        }),
      address: bridgeAddressValue().default("172.16.0.1/24").meta({
        description: "the host's address on the bridge, and the guests' subnet",
        unit: "IPv4 address with prefix length",
      }),
      isolate: z.boolean().default(false).meta({
        description:
          "guests on the bridge do not reach each other; a VM that runs is switched when the daemon starts",
      }),
      tap_pool_size: z.int().min(0).max(64).default(4).meta({
        description:
          "TAP devices that are made before a VM of the mode `bridge` needs one; 0 makes none",
        unit: "count, at most 64",
      }),
    })
    .prefault({}),
  images: z
    .strictObject({
      mirror: z
        .url({ protocol: /^(?:https?|file)$/ })
        .regex(/^\S+$/, "must not contain spaces")
        .exactOptional()
        .meta({
          description:
            "Debian mirror that images are built from; without it the host's own apt sources",
          unit: "URL",
        }),
    })
    .prefault({}),
  plugins: z
    .strictObject({
      enabled: unique(pluginId)
        .default(["work-disk", "file-sync", "dns", "nat"])
        .meta({ description: "plugins that a new VM has", unit: "ids" }),
      packages: unique(packageName)
        .default([
          "@banger/plugin-work-disk",
          "@banger/plugin-file-sync",
          "@banger/plugin-dns",
          "@banger/plugin-nat",
        ])
        .meta({
          description: "packages that are looked at for plugins",
          unit: "package names",
        }),
    })
    .prefault({}),
});
