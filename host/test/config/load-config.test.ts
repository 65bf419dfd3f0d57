import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { reservedConfigKeys } from "@banger/core";
import { ConfigInvalidError } from "../../src/config/config-errors.js";
import { configSchema } from "../../src/config/config-schema.js";
import { describeConfig } from "../../src/config/describe-config.js";
import {
  checkSectionNames,
  loadConfig,
  readPluginSection,
  type LoadedConfig,
} from "../../src/config/load-config.js";
import { operationSettings } from "../../src/config/operation-settings.js";
import { schemaFields } from "../../src/config/schema-fields.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const facts = { cpus: 8, memoryMiB: 16_000 };

async function load(text: string, host = facts): Promise<LoadedConfig> {
  const file = join(await temporaryDirectory(), "config.toml");
  await writeFile(file, text);
  return loadConfig({ file, facts: host });
}

/** The problems of a text that is refused, or of a check that is. */
async function problemsOf(
  work: Promise<unknown> | (() => unknown),
): Promise<ConfigInvalidError["problems"]> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    if (!(error instanceof ConfigInvalidError)) throw error;
    expect(error).toMatchObject({ code: "ERR_CONFIG_INVALID", kind: "usage" });
    return error.problems;
  }
  throw new Error("it was accepted");
}

describe("loadConfig", () => {
  it("has a default for everything", async () => {
    const file = join(await temporaryDirectory(), "none", "config.toml");
    const missing = await loadConfig({ file, facts });
    const empty = await load("");
    expect(missing.values).toEqual(empty.values);
    expect(missing.values).toEqual({
      logLevel: "info",
      statsPollIntervalMs: 10_000,
      vmDefaults: {
        image: "debian-bookworm",
        vcpus: 2,
        memoryMiB: 2000,
        diskSizeBytes: 8 * 2 ** 30,
      },
      vmm: {
        accel: "auto",
        driver: "auto",
        firecracker: { jailerEnabled: true },
        readyTimeoutMs: 180_000,
        stopTimeoutMs: 20_000,
        reconcileTimeoutMs: 30_000,
      },
      network: {
        mode: "user",
        bridge: "br-fc",
        address: "172.16.0.1/24",
        isolate: false,
        tapPoolSize: 4,
      },
      images: {},
      plugins: {
        enabled: ["work-disk", "file-sync", "dns", "nat"],
        packages: [
          "@banger/plugin-work-disk",
          "@banger/plugin-file-sync",
          "@banger/plugin-dns",
          "@banger/plugin-nat",
        ],
      },
    });
  });

  it.each([
    [1, 1024, 1, 512],
    [4, 8192, 1, 1024],
    [11, 20_003, 2, 2500],
    [64, 500_000, 4, 8192],
  ])(
    "derives from %i CPUs and %i MiB",
    async (cpus, memoryMiB, vcpus, memory) => {
      const { values, provenance } = await load("", { cpus, memoryMiB });
      expect(values.vmDefaults).toMatchObject({ vcpus, memoryMiB: memory });
      expect(provenance.get("vm_defaults.vcpus")).toEqual({
        source: "derived",
        value: vcpus,
      });
      expect(provenance.get("vm_defaults.memory")).toEqual({
        source: "derived",
        value: `${memory.toString()}M`,
      });
    },
  );

  it("takes every key from the file", async () => {
    const { values, provenance } = await load(`
      log_level = "debug"
      stats_poll_interval = 60
      auto_stop_stale_after = "7d"
      vm_defaults = { image = "mine", vcpus = 3, memory = 768, disk_size = "1.5G" }
      images.mirror = "https://deb.example.org/debian"
      network = { mode = "bridge", bridge = "br-fc-two", address = "10.9.0.1/22", isolate = true, tap_pool_size = 64 }
      [vmm]
      accel = "emulate"
      driver = "firecracker"
      firecracker_bin = "/opt/firecracker"
      jailer_bin = "/opt/jailer"
      jailer_enabled = false
      jailer_chroot_base = "/srv/jail"
      ready_timeout = "3m"
      stop_timeout = 0.5
      reconcile_timeout = "250ms"
      [plugins]
      enabled = []
      packages = ["banger-plugin-x"]
    `);
    expect(values).toEqual({
      logLevel: "debug",
      statsPollIntervalMs: 60_000,
      autoStopStaleAfterMs: 7 * 24 * 3_600_000,
      vmDefaults: {
        image: "mine",
        vcpus: 3,
        memoryMiB: 768,
        diskSizeBytes: 1.5 * 2 ** 30,
      },
      vmm: {
        accel: "emulate",
        driver: "firecracker",
        firecracker: {
          program: "/opt/firecracker",
          jailer: "/opt/jailer",
          jailerEnabled: false,
          jailBase: "/srv/jail",
        },
        readyTimeoutMs: 180_000,
        stopTimeoutMs: 500,
        reconcileTimeoutMs: 250,
      },
      network: {
        mode: "bridge",
        bridge: "br-fc-two",
        address: "10.9.0.1/22",
        isolate: true,
        tapPoolSize: 64,
      },
      images: { mirror: "https://deb.example.org/debian" },
      plugins: { enabled: [], packages: ["banger-plugin-x"] },
    });
    const sources = [...provenance.values()].map(({ source }) => source);
    expect(new Set(sources)).toEqual(new Set(["file"]));
    expect(provenance.get("vm_defaults.memory")?.value).toBe(768);
    let enabled = ["nat"];
    const settings = operationSettings(values, () => enabled);
    expect(settings).toEqual({
      defaultImage: "mine",
      defaults: { vcpus: 3, memoryMiB: 768, diskSizeBytes: 1.5 * 2 ** 30 },
      enabledPlugins: ["nat"],
      accel: "emulate",
      driver: "firecracker",
      readyTimeoutMs: 180_000,
      stopTimeoutMs: 500,
      reconcileTimeoutMs: 250,
    });
    enabled = [];
    expect(settings.enabledPlugins).toEqual([]);
  });

  it.each([
    'vmm.driver = "xen"',
    'vmm.firecracker_bin = "firecracker"',
    'vmm.jailer_chroot_base = "~/jail"',
    'network.mode = "host"',
    'network.bridge = "eth0"',
    'network.bridge = "br-fc-far-too-long-a-name"',
    'network.address = "172.16.0.1"',
    'network.address = "172.16.0.300/24"',
    'network.address = "172.16.0.9/24"',
    'network.isolate = "yes"',
    "network.tap_pool_size = -1",
    "network.tap_pool_size = 65",
    "network.tap_pool_size = 1.5",
    'network.address = "8.8.8.1/24"',
  ])("refuses %s", async (line) => {
    const problems = await problemsOf(load(line));
    expect(problems.map(({ key }) => key)).toEqual([line.split(" ")[0]]);
  });

  it.each(["0", '"0"', '"0s"', "0.0"])(
    "stops no VM that is not used with %s",
    async (never) => {
      const { values } = await load(`auto_stop_stale_after = ${never}`);
      expect(values).not.toHaveProperty("autoStopStaleAfterMs");
    },
  );

  it("stops VMs after up to a year", async () => {
    const { values } = await load('auto_stop_stale_after = "365d"');
    expect(values.autoStopStaleAfterMs).toBe(365 * 24 * 3_600_000);
  });

  it("names an unknown key with its line and the nearest name, at every level", async () => {
    const problems = await problemsOf(
      load(`log_levle = "info"
[vm_defaults]
vcpu = 2
[plugins]
enbaled = ["nat"]
[colours]
x = 1
`),
    );
    expect(problems).toEqual([
      {
        key: "log_levle",
        line: 1,
        message: "unknown key",
        hint: "Did you mean log_level?",
      },
      {
        key: "vm_defaults.vcpu",
        line: 3,
        message: "unknown key",
        hint: "Did you mean vcpus?",
      },
      {
        key: "plugins.enbaled",
        line: 5,
        message: "unknown key",
        hint: "Did you mean enabled?",
      },
      {
        key: "colours",
        line: 6,
        message: "unknown key",
        hint: "Known: auto_stop_stale_after, images, log_level, network, plugins, stats_poll_interval, vm_defaults, vmm",
      },
    ]);
  });

  it("puts file, line and key into the message and every problem into the details", async () => {
    const error = (await load("[vmm]\naccell = 1\nready_timeout = -1\n").catch(
      (thrown: unknown) => thrown,
    )) as ConfigInvalidError;
    expect(error.message).toBe(
      `${error.file}:2: vmm.accell: unknown key (and 1 more)`,
    );
    expect(error.hint).toBe("Did you mean accel?");
    expect(error.details).toHaveLength(2);
    expect(error.details[1]).toContain(
      `${error.file}:3: vmm.ready_timeout: -1 is no`,
    );
  });

  it.each([
    [
      'log_level = "inof"',
      "log_level",
      '"inof" is none of',
      "Did you mean info?",
    ],
    ["vm_defaults = 3", "vm_defaults", "expected object, received number"],
    [
      "[vm_defaults]\nvcpus = 0",
      "vm_defaults.vcpus",
      "expected number to be >=1",
    ],
    ["[vm_defaults]\nvcpus = 1.5", "vm_defaults.vcpus", "expected int"],
    ['[vm_defaults]\nmemory = "lots"', "vm_defaults.memory", "is not a size"],
    ["[vm_defaults]\nmemory = 64", "vm_defaults.memory", "at least 128M"],
    ["[vm_defaults]\nmemory = true", "vm_defaults.memory", "expected a size"],
    [
      '[vm_defaults]\ndisk_size = "1K"',
      "vm_defaults.disk_size",
      "at least 16M",
    ],
    ['[vmm]\nready_timeout = "90"', "vmm.ready_timeout", "is no duration"],
    ["[vmm]\nready_timeout = 0", "vmm.ready_timeout", "is no duration"],
    ['[vmm]\nready_timeout = "25h"', "vmm.ready_timeout", "is no duration"],
    ['[vmm]\nready_timeout = "0"', "vmm.ready_timeout", "is no duration"],
    ["stats_poll_interval = 0", "stats_poll_interval", "is no duration"],
    ["auto_stop_stale_after = -1", "auto_stop_stale_after", "is no duration"],
    ['auto_stop_stale_after = "off"', "auto_stop_stale_after", "0 for never"],
    ['auto_stop_stale_after = "366d"', "auto_stop_stale_after", "365 days"],
    ["[vmm]\nready_timeout = nan", "vmm.ready_timeout", "expected seconds"],
    ['[images]\nmirror = "ftp://x"', "images.mirror", "URL"],
    ['[images]\nmirror = "http://x/a b"', "images.mirror", "spaces"],
    ['[images]\nmirror = "--help"', "images.mirror", "URL"],
    ['[plugins]\nenabled = "nat"', "plugins.enabled", "expected array"],
    ['[plugins]\nenabled = ["nat", 3]', "plugins.enabled.1", "expected string"],
    ['[plugins]\nenabled = ["a", "a"]', "plugins.enabled", "twice"],
    ['[plugins]\npackages = ["../x"]', "plugins.packages.0", "not the name"],
    ["plugins = 1979-05-27", "plugins", "expected a table"],
    ["[plugins.enabled]\nx = 1", "plugins.enabled", "expected array"],
    ["[[vmm]]", "vmm", "expected object, received array"],
  ])("refuses %j", async (text, key, message, hint?: string) => {
    const [problem, ...others] = await problemsOf(load(text));
    expect(problem).toMatchObject({
      key,
      message: expect.stringContaining(message) as string,
      line:
        text.includes("\n") && key.includes(".")
          ? (expect.any(Number) as number)
          : 1,
      ...(hint === undefined ? {} : { hint }),
    });
    expect(others).toEqual([]);
  });

  it("shows where a text is no TOML", async () => {
    await expect(load('a = 1\nb = "open\n')).rejects.toMatchObject({
      code: "ERR_CONFIG_SYNTAX",
      kind: "usage",
      message: expect.stringMatching(/config\.toml:2:\d+: /) as string,
      details: expect.arrayContaining([
        expect.stringContaining('b = "open') as string,
      ]) as string[],
    });
    await expect(load("a = 1\na = 2\n")).rejects.toMatchObject({
      code: "ERR_CONFIG_SYNTAX",
    });
  });

  it("says that a file cannot be read", async () => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, "config.toml"));
    await expect(
      loadConfig({ file: join(directory, "config.toml"), facts }),
    ).rejects.toMatchObject({ code: "ERR_CONFIG_UNREADABLE" });
    await writeFile(join(directory, "latin1"), Buffer.from([0x61, 0xe4]));
    await expect(
      loadConfig({ file: join(directory, "latin1"), facts }),
    ).rejects.toMatchObject({ code: "ERR_CONFIG_SYNTAX" });
  });

  it("is not fooled by names of JavaScript's own", async () => {
    for (const key of ["__proto__", "constructor", "toString"]) {
      const [problem] = await problemsOf(load(`[vmm]\n${key} = 1\n`));
      expect(problem).toMatchObject({ key: `vmm.${key}`, line: 2 });
      const config = await load(`[plugins.${key}]\npolluted = true\n`);
      expect([...config.sections.keys()]).toEqual([key]);
      expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    }
  });
});

describe("plugin sections", () => {
  const schema = z.object({
    ttl: z
      .int()
      .min(1)
      .default(60)
      .meta({ description: "time to live", unit: "seconds" }),
    zone: z.string().optional().meta({ description: "zone" }),
    upstream: z
      .strictObject({
        host: z.string().default("::1").meta({ description: "h" }),
      })
      .prefault({}),
    files: z
      .array(z.strictObject({ source: z.string(), mode: z.int().optional() }))
      .default([])
      .meta({ description: "files" }),
  });

  it("are passed through and validated with the plugin's schema", async () => {
    const config = await load(`
[plugins.dns]
ttl = 5
[[plugins.dns.files]]
source = "a"
`);
    expect(readPluginSection(config, "dns", schema)).toEqual({
      ttl: 5,
      upstream: { host: "::1" },
      files: [{ source: "a" }],
    });
    expect(readPluginSection(await load(""), "dns", schema)).toEqual({
      ttl: 60,
      upstream: { host: "::1" },
      files: [],
    });
  });

  it("refuse unknown keys, also deep inside and where the schema would drop them", async () => {
    const config = await load(`
[plugins.dns]
tll = 5
upstream.hots = "x"
[[plugins.dns.files]]
source = "a"
[[plugins.dns.files]]
source = "b"
mod = 1
`);
    const problems = await problemsOf(() =>
      readPluginSection(config, "dns", schema),
    );
    expect(problems.map(({ key, line, hint }) => [key, line, hint])).toEqual([
      ["plugins.dns.tll", 3, "Did you mean ttl?"],
      ["plugins.dns.upstream.hots", 4, "Did you mean host?"],
      ["plugins.dns.files.1.mod", 9, "Did you mean mode?"],
    ]);
  });

  it("refuse wrong values and missing keys, with the line of the table", async () => {
    const config = await load(`[plugins.dns]
ttl = "x"
[[plugins.dns.files]]
mode = 1
`);
    const problems = await problemsOf(() =>
      readPluginSection(config, "dns", schema),
    );
    expect(problems.map(({ key, line }) => [key, line])).toEqual([
      ["plugins.dns.ttl", 2],
      ["plugins.dns.files.0.source", 3],
    ]);
  });

  it("take any key where the schema does, and the furthest alternative of a union", async () => {
    const open = z.object({
      hosts: z.record(z.string(), z.strictObject({ ip: z.string() })),
      any: z.looseObject({}),
      item: z.union([z.string(), z.strictObject({ path: z.string() })]),
    });
    const config = await load(`[plugins.x]
hosts.a.ip = "1"
hosts.b.pi = "2"
any.thing = 1
item = { paht = "x" }
`);
    const problems = await problemsOf(() =>
      readPluginSection(config, "x", open),
    );
    expect(problems.map(({ key }) => key)).toEqual([
      "plugins.x.hosts.b.pi",
      "plugins.x.hosts.b.ip",
      "plugins.x.item.path",
      "plugins.x.item.paht",
    ]);
  });

  it("must belong to an installed plugin", async () => {
    const config = await load("[plugins.dns]\n\n[plugins.nta]\nx = 1\n");
    checkSectionNames(config, ["dns", "nta"]);
    expect(
      await problemsOf(() => checkSectionNames(config, ["dns", "nat"])),
    ).toEqual([
      {
        key: "plugins.nta",
        line: 3,
        message: "no installed plugin has this section",
        hint: "Did you mean nat?",
      },
    ]);
  });

  it("are described beside the core's keys", async () => {
    const config = await load(`log_level = "warn"
[plugins.dns]
upstream.host = "9.9.9.9"
`);
    const rows = describeConfig(config, [{ configKey: "dns", schema }]);
    const find = (key: string): unknown => rows.find((row) => row.key === key);
    expect(find("log_level")).toEqual({
      key: "log_level",
      value: "warn",
      source: "file",
      description: "least severe entries that the daemon logs",
    });
    expect(find("vm_defaults.disk_size")).toMatchObject({
      value: "8G",
      source: "default",
    });
    expect(find("vm_defaults.vcpus")).toMatchObject({
      value: 2,
      source: "derived",
      unit: "count",
    });
    expect(rows.slice(-4)).toEqual([
      {
        key: "plugins.dns.ttl",
        value: 60,
        source: "default",
        unit: "seconds",
        description: "time to live",
      },
      {
        key: "plugins.dns.zone",
        value: undefined,
        source: "default",
        description: "zone",
      },
      {
        key: "plugins.dns.upstream.host",
        value: "9.9.9.9",
        source: "file",
        description: "h",
      },
      {
        key: "plugins.dns.files",
        value: [],
        source: "default",
        description: "files",
      },
    ]);
  });
});

describe("configSchema", () => {
  it("describes every key", () => {
    const fields = schemaFields(configSchema);
    expect(fields.length).toBeGreaterThan(8);
    for (const { path, description } of fields)
      expect(description, path.join(".")).not.toBe("");
  });

  it("has exactly the keys below [plugins] that no plugin may take", () => {
    const { shape } = configSchema.shape.plugins.def.innerType;
    expect(Object.keys(shape).sort()).toEqual([...reservedConfigKeys].sort());
  });
});
