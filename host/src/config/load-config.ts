import { reservedConfigKeys, type HostFacts } from "@banger/core";
import type { z } from "zod";
import { checkValues, unknownName } from "./check-values.js";
import { ConfigInvalidError } from "./config-errors.js";
import { configSchema } from "./config-schema.js";
import { schemaFields } from "./schema-fields.js";
import {
  isTable,
  readTomlDocument,
  type TomlDocument,
  type TomlTable,
} from "./toml-document.js";

/** Programs and places of the Firecracker driver, absolute paths; what is absent has a default on this host. */
export interface FirecrackerSettings {
  readonly program?: string;
  readonly jailer?: string;
  readonly jailerEnabled: boolean;
  readonly jailBase?: string;
}

/** How new VMs are connected. */
export interface NetworkSettings {
  readonly mode: "user" | "bridge";
  readonly bridge: string;
  /** the host's address on the bridge, with prefix length */
  readonly address: string;
  /** are guests kept from each other? */
  readonly isolate: boolean;
  /** TAP devices that wait for a VM */
  readonly tapPoolSize: number;
}

/** What the program works with. */
export interface ConfigValues {
  readonly logLevel: "debug" | "info" | "warn" | "error";
  readonly statsPollIntervalMs: number;
  /** absent: no VM is stopped because nobody uses it */
  readonly autoStopStaleAfterMs?: number;
  readonly vmDefaults: {
    readonly image: string;
    readonly vcpus: number;
    readonly memoryMiB: number;
    readonly diskSizeBytes: number;
  };
  readonly vmm: {
    readonly accel: "auto" | "kvm" | "emulate";
    /** id, or `auto` */
    readonly driver: string;
    readonly firecracker: FirecrackerSettings;
    readonly readyTimeoutMs: number;
    readonly stopTimeoutMs: number;
    readonly reconcileTimeoutMs: number;
  };
  readonly network: NetworkSettings;
  readonly images: { readonly mirror?: string };
  readonly plugins: {
    /** ids */
    readonly enabled: readonly string[];
    readonly packages: readonly string[];
  };
}

/** Where a value comes from: the file, the host's size, or banger itself. */
export type ConfigSource = "file" | "derived" | "default";

export interface Provenance {
  readonly source: ConfigSource;
  /** as it is, or would be, written in the file; `undefined` when there is none */
  readonly value: unknown;
}

export interface LoadedConfig {
  readonly document: TomlDocument;
  readonly values: ConfigValues;
  /** by dotted key, every key of the schema */
  readonly provenance: ReadonlyMap<string, Provenance>;
  /** the tables below `[plugins]`, by name, not yet validated */
  readonly sections: ReadonlyMap<string, TomlTable>;
}

/**
 * Reads the configuration. A missing file is an empty one: everything has a default.
 * @throws ConfigUnreadableError, ConfigSyntaxError
 * @throws {@link ConfigInvalidError} with everything that is wrong outside the plugins' sections
 */
export async function loadConfig(options: {
  readonly file: string;
  readonly facts: Pick<HostFacts, "cpus" | "memoryMiB">;
}): Promise<LoadedConfig> {
  const document = await readTomlDocument(options.file);
  const { core, sections } = splitSections(document.data);
  const checked = checkValues(configSchema, core, [], document);
  if (checked.problems)
    throw new ConfigInvalidError(document.file, checked.problems);
  const derived = deriveDefaults(options.facts);
  return {
    document,
    sections,
    values: toValues(checked.value, derived),
    provenance: new Map(
      schemaFields(configSchema).map(
        ({ path, defaultValue }): [string, Provenance] => {
          const key = path.join(".");
          const written = valueAt(core, path);
          if (written !== undefined)
            return [key, { source: "file", value: written }];
          return key in derived.written
            ? [key, { source: "derived", value: derived.written[key] }]
            : [key, { source: "default", value: defaultValue }];
        },
      ),
    ),
  };
}

/**
 * Compares the section names with those that installed plugins have.
 * @throws {@link ConfigInvalidError} for `[plugins.nta]`, with the nearest name
 */
export function checkSectionNames(
  config: LoadedConfig,
  configKeys: readonly string[],
): void {
  const problems = [...config.sections.keys()]
    .filter((name) => !configKeys.includes(name))
    .map((name) => {
      const path = ["plugins", name];
      const { message, hint } = unknownName(
        path,
        configKeys,
        "no installed plugin has this section",
      );
      const line = config.document.lineOf(path);
      return {
        key: path.join("."),
        message,
        ...(hint === undefined ? {} : { hint }),
        ...(line === undefined ? {} : { line }),
      };
    });
  if (problems.length > 0)
    throw new ConfigInvalidError(config.document.file, problems);
}

/**
 * Validates a plugin's section with the plugin's own schema; an absent section is an empty one.
 * @throws {@link ConfigInvalidError}
 */
export function readPluginSection<Schema extends z.ZodType>(
  config: LoadedConfig,
  configKey: string,
  schema: Schema,
): z.output<Schema> {
  const checked = checkValues(
    schema,
    config.sections.get(configKey) ?? {},
    ["plugins", configKey],
    config.document,
  );
  if (checked.problems)
    throw new ConfigInvalidError(config.document.file, checked.problems);
  return checked.value;
}

/** What lies below a path of a table, `undefined` when nothing does. */
export function valueAt(table: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      isTable(inner) && Object.hasOwn(inner, key) ? inner[key] : undefined,
    table,
  );
}

/** A table below `[plugins]` is a plugin's section, unless its name is one of our keys. */
function splitSections(data: TomlTable): {
  readonly core: TomlTable;
  readonly sections: ReadonlyMap<string, TomlTable>;
} {
  const { plugins } = data;
  if (!isTable(plugins)) return { core: data, sections: new Map() };
  const sections = new Map<string, TomlTable>();
  const rest: [string, unknown][] = [];
  for (const [key, value] of Object.entries(plugins)) {
    if (isTable(value) && !reservedConfigKeys.includes(key))
      sections.set(key, value);
    else rest.push([key, value]);
  }
  return {
    core: { ...data, plugins: Object.fromEntries(rest) },
    sections,
  };
}

interface Derived {
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** by dotted key */
  readonly written: Readonly<Record<string, unknown>>;
}

/** A VM should leave room for others, and for the host. */
function deriveDefaults(facts: Pick<HostFacts, "cpus" | "memoryMiB">): Derived {
  const clamp = (value: number, least: number, most: number): number =>
    Math.min(most, Math.max(least, Math.floor(value)));
  const vcpus = clamp(facts.cpus / 4, 1, 4);
  const memoryMiB = clamp(facts.memoryMiB / 8, 512, 8192);
  return {
    vcpus,
    memoryMiB,
    written: {
      "vm_defaults.vcpus": vcpus,
      "vm_defaults.memory": `${memoryMiB.toString()}M`,
    },
  };
}

function toValues(
  {
    log_level,
    stats_poll_interval,
    auto_stop_stale_after,
    vm_defaults,
    vmm,
    network,
    images,
    plugins,
  }: z.output<typeof configSchema>,
  derived: Derived,
): ConfigValues {
  const { memory } = vm_defaults;
  return {
    logLevel: log_level,
    statsPollIntervalMs: stats_poll_interval,
    ...(auto_stop_stale_after === 0
      ? {}
      : { autoStopStaleAfterMs: auto_stop_stale_after }),
    vmDefaults: {
      image: vm_defaults.image,
      vcpus: vm_defaults.vcpus ?? derived.vcpus,
      memoryMiB:
        memory === undefined ? derived.memoryMiB : Math.floor(memory / 2 ** 20),
      diskSizeBytes: vm_defaults.disk_size,
    },
    vmm: {
      accel: vmm.accel,
      driver: vmm.driver,
      firecracker: {
        ...(vmm.firecracker_bin === undefined
          ? {}
          : { program: vmm.firecracker_bin }),
        ...(vmm.jailer_bin === undefined ? {} : { jailer: vmm.jailer_bin }),
        jailerEnabled: vmm.jailer_enabled,
        ...(vmm.jailer_chroot_base === undefined
          ? {}
          : { jailBase: vmm.jailer_chroot_base }),
      },
      readyTimeoutMs: vmm.ready_timeout,
      stopTimeoutMs: vmm.stop_timeout,
      reconcileTimeoutMs: vmm.reconcile_timeout,
    },
    network: {
      mode: network.mode,
      bridge: network.bridge,
      address: network.address,
      isolate: network.isolate,
      tapPoolSize: network.tap_pool_size,
    },
    images,
    plugins,
  };
}
