import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { repository } from "../install.js";
import {
  provideFirecracker,
  type ProvidedFirecracker,
} from "./provide-firecracker.js";
import { RunningFirecracker } from "./running-firecracker.js";
import type { FaultEffect } from "./settings.js";

let provided: ProvidedFirecracker;
let kernel: string;
let disk: string;
let server: RunningFirecracker;
let count = 0;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-test-"));
  provided = await provideFirecracker(directory, { guest: "none" });
  kernel = join(directory, "vmlinux");
  disk = join(directory, "disk.raw");
  writeFileSync(kernel, "\x7fELF and so on", "latin1");
  writeFileSync(disk, Buffer.alloc(1024 * 1024));
});

afterEach(async () => {
  await server.stop();
});

afterAll(() => {
  rmSync(provided.directory, { recursive: true, force: true });
});

async function start(...args: readonly string[]): Promise<void> {
  count += 1;
  server = await RunningFirecracker.direct(
    provided,
    `unit-${String(count)}`,
    args,
  );
}

function drive(id: string, root = false): Record<string, unknown> {
  return {
    drive_id: id,
    path_on_host: disk,
    is_root_device: root,
    is_read_only: false,
  };
}

async function boot(): Promise<void> {
  await server.send("PUT", "/boot-source", { kernel_image_path: kernel });
  const answer = await server.send("PUT", "/actions", {
    action_type: "InstanceStart",
  });
  expect(answer.status).toBe(204);
}

describe("a path of the description", () => {
  it("is served, whichever it is", async () => {
    await start();
    const file = (name: string): string => join(provided.directory, name);
    const before: [string, string, unknown?][] = [
      ["GET", "/"],
      ["GET", "/version"],
      ["GET", "/machine-config"],
      ["PUT", "/machine-config", { vcpu_count: 2, mem_size_mib: 256 }],
      ["PATCH", "/machine-config", { mem_size_mib: 512 }],
      ["PUT", "/boot-source", { kernel_image_path: kernel }],
      ["PUT", "/cpu-config", {}],
      ["PUT", "/drives/root", drive("root", true)],
      ["PUT", "/pmem/p", { id: "p", path_on_host: disk }],
      ["PUT", "/logger", { log_path: file("log"), level: "Debug" }],
      ["PUT", "/metrics", { metrics_path: file("metrics") }],
      ["PUT", "/mmds/config", { network_interfaces: [] }],
      ["PUT", "/mmds", { a: { b: 1 } }],
      ["PATCH", "/mmds", { a: { c: 2 } }],
      ["GET", "/mmds"],
      ["PUT", "/entropy", {}],
      ["PUT", "/serial", { serial_out_path: file("serial") }],
      ["PUT", "/hotplug/memory", { total_size_mib: 1024 }],
      ["PUT", "/network-interfaces/lo", { iface_id: "lo", host_dev_name: "x" }],
      ["PUT", "/vsock", { guest_cid: 3, uds_path: file("v.sock") }],
      [
        "PUT",
        "/balloon",
        {
          amount_mib: 0,
          deflate_on_oom: true,
          stats_polling_interval_s: 1,
          free_page_hinting: true,
        },
      ],
      ["GET", "/balloon"],
      ["PUT", "/snapshot/load", { snapshot_path: "x", mem_file_path: "y" }],
      ["PUT", "/actions", { action_type: "InstanceStart" }],
    ];
    const after: [string, string, unknown?][] = [
      ["GET", "/vm/config"],
      ["PATCH", "/balloon", { amount_mib: 64 }],
      ["GET", "/balloon/statistics"],
      ["PATCH", "/balloon/statistics", { stats_polling_interval_s: 5 }],
      ["PATCH", "/balloon/hinting/start", {}],
      ["GET", "/balloon/hinting/status"],
      ["PATCH", "/balloon/hinting/stop"],
      ["PATCH", "/drives/root", { drive_id: "root" }],
      ["PATCH", "/pmem/p", { id: "p" }],
      ["PATCH", "/network-interfaces/lo", { iface_id: "lo" }],
      ["GET", "/hotplug/memory"],
      ["PATCH", "/hotplug/memory", { requested_size_mib: 128 }],
      ["PATCH", "/vm", { state: "Paused" }],
      [
        "PUT",
        "/snapshot/create",
        { snapshot_path: file("snap"), mem_file_path: file("mem") },
      ],
    ];
    // No TAP here, and a configured process loads no snapshot: these are refused as documented.
    const refused = ["/network-interfaces/lo", "/snapshot/load"];
    const statuses: Record<string, number> = {};
    for (const [method, path, body] of [...before, ...after])
      statuses[`${method} ${path}`] = (
        await server.send(method, path, body)
      ).status;
    for (const [request, status] of Object.entries(statuses))
      expect([request, status]).toEqual([
        request,
        refused.some((path) => request.endsWith(path))
          ? 400
          : request.startsWith("GET")
            ? 200
            : 204,
      ]);
    const described = Object.entries(
      (
        parse(
          readFileSync(
            join(repository, "host/firecracker/api-1.17-dev.yaml"),
            "utf8",
          ),
        ) as { paths: Record<string, object> }
      ).paths,
    ).flatMap(([path, verbs]) =>
      Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`),
    );
    const shape = (text: string): string =>
      text
        .replace(/\{[^}]+\}/, "X")
        .replace(/(drives|pmem|network-interfaces)\/\w+$/, "$1/X");
    expect(new Set(Object.keys(statuses).map(shape))).toEqual(
      new Set(described.map(shape)),
    );
  });
});

describe("a request", () => {
  it("must fit the description", async () => {
    await start();
    const fault = "An error occurred when deserializing the json body";
    for (const [method, path, body, message] of [
      ["PUT", "/boot-source", {}, "missing field `kernel_image_path`"],
      [
        "PUT",
        "/boot-source",
        { kernel_image_path: kernel, more: 1 },
        "unknown field `more`",
      ],
      ["PUT", "/boot-source", { kernel_image_path: 1 }, "invalid type"],
      ["PUT", "/boot-source", "{", "expected value"],
      [
        "PUT",
        "/machine-config",
        { vcpu_count: 33, mem_size_mib: 1 },
        "must be <= 32",
      ],
      ["PUT", "/actions", { action_type: "Stop" }, "unknown variant `Stop`"],
      ["PUT", "/entropy", { rate_limiter: { x: 1 } }, "unknown field `x`"],
    ] as const) {
      const text = await server.refusal(method, path, body);
      expect(text).toContain(fault);
      expect(text).toContain(message);
    }
  });

  it("must name a known path, an id and a body", async () => {
    await start();
    expect(await server.refusal("PUT", "/nothing", {})).toBe(
      "Invalid request method and/or path: PUT nothing.",
    );
    expect(await server.refusal("PATCH", "/boot-source", {})).toContain(
      "Invalid request method",
    );
    expect(await server.refusal("PUT", "/boot-source")).toBe(
      "Empty PUT request.",
    );
    expect(await server.refusal("PATCH", "/machine-config", {})).toBe(
      "Empty PATCH request.",
    );
    expect(await server.refusal("GET", "/version", {})).toBe(
      "GET request cannot have a body.",
    );
    expect(await server.refusal("PUT", "/drives/", drive("a"))).toBe(
      "The ID cannot be empty.",
    );
    expect(await server.refusal("PUT", "/drives/a-b", drive("a-b"))).toContain(
      "can only contain alphanumeric",
    );
    expect(await server.refusal("PUT", "/drives/a", drive("b"))).toBe(
      "The id from the path [a] does not match the id from the body [b]!",
    );
  });

  it("must be HTTP, of a known length and not too long", async () => {
    await start();
    expect(await server.raw("nonsense\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /);
    expect(await server.raw("DELETE / HTTP/1.1\r\n\r\n")).toContain(
      "Invalid HTTP Method.",
    );
    expect(
      await server.raw("PUT /mmds HTTP/1.1\r\nContent-Length: 51201\r\n\r\n"),
    ).toContain("larger than the limit of 51200");
    expect(
      (await server.send("PUT", "/mmds", { a: "x".repeat(51_000) })).status,
    ).toBe(204);
  });

  it("is recorded with its status", async () => {
    await start();
    provided.forgetRequests();
    await server.send("GET", "/version");
    await server.refusal("PUT", "/boot-source", {});
    expect(
      provided.requests().map(({ method, path, body, status }) => ({
        ...{ method, path, body, status },
      })),
    ).toEqual([
      { method: "GET", path: "/version", body: undefined, status: 200 },
      { method: "PUT", path: "/boot-source", body: {}, status: 400 },
    ]);
  });
});

describe("the configuration", () => {
  it("needs what exists on the host", async () => {
    await start();
    const missing = "/nonexistent/file";
    expect(
      await server.refusal("PUT", "/boot-source", {
        kernel_image_path: missing,
      }),
    ).toBe(
      "Boot source error: The kernel file cannot be opened: No such file or directory (os error 2)",
    );
    expect(
      await server.refusal("PUT", "/boot-source", {
        kernel_image_path: kernel,
        initrd_path: missing,
      }),
    ).toContain("The initrd file cannot be opened");
    expect(
      await server.refusal("PUT", "/drives/a", {
        ...drive("a"),
        path_on_host: missing,
      }),
    ).toContain("Error manipulating the backing file");
    expect(
      await server.refusal("PUT", "/network-interfaces/a", {
        iface_id: "a",
        host_dev_name: "no-such-tap",
      }),
    ).toContain("Open tap device failed");
    expect(
      await server.refusal("PUT", "/network-interfaces/a", {
        iface_id: "a",
        host_dev_name: "lo",
        guest_mac: "02:00",
      }),
    ).toContain("invalid MAC");
    expect(
      await server.refusal("PUT", "/metrics", { metrics_path: missing }),
    ).toContain("Cannot initialize the metrics system");
    expect(
      await server.refusal("PUT", "/logger", { log_path: missing }),
    ).toContain("Logger error");
    expect(
      await server.refusal("PUT", "/vsock", { guest_cid: 3, uds_path: disk }),
    ).toContain("Address in use");
  });

  it("has one root device, which comes first, and drives that may be replaced", async () => {
    await start();
    await server.send("PUT", "/drives/data", drive("data"));
    await server.send("PUT", "/drives/root", drive("root", true));
    expect(await server.refusal("PUT", "/drives/b", drive("b", true))).toBe(
      "Drive config error: A root block device already exists!",
    );
    await server.send("PUT", "/drives/data", {
      ...drive("data"),
      is_read_only: true,
    });
    const { body } = await server.send("GET", "/vm/config");
    expect((body as { drives: unknown[] }).drives).toEqual([
      drive("root", true),
      { ...drive("data"), is_read_only: true },
    ]);
  });

  it("keeps the machine whole when a part of it is wrong", async () => {
    await start();
    const machine = { vcpu_count: 3, mem_size_mib: 512 };
    expect((await server.send("PUT", "/machine-config", machine)).status).toBe(
      204,
    );
    expect(
      await server.refusal("PATCH", "/machine-config", { smt: true }),
    ).toContain("The number of vCPUs");
    expect(
      await server.refusal("PATCH", "/machine-config", { mem_size_mib: 0 }),
    ).toContain("The memory size (MiB) is either 0");
    expect((await server.send("GET", "/machine-config")).body).toMatchObject({
      ...machine,
      smt: false,
    });
  });

  it("has one metrics file", async () => {
    await start();
    const metrics = { metrics_path: join(provided.directory, "once") };
    expect((await server.send("PUT", "/metrics", metrics)).status).toBe(204);
    expect(await server.refusal("PUT", "/metrics", metrics)).toContain(
      "Reinitialization of metrics not allowed.",
    );
  });
});

describe("the order", () => {
  const late =
    "The requested operation is not supported after starting the microVM.";
  const early =
    "The requested operation is not supported before starting the microVM.";

  it("has configuration before the start only", async () => {
    await start();
    expect(
      await server.refusal("PUT", "/actions", { action_type: "InstanceStart" }),
    ).toContain("without kernel configuration");
    await boot();
    for (const [path, body] of [
      ["/boot-source", { kernel_image_path: kernel }],
      ["/machine-config", { vcpu_count: 1, mem_size_mib: 128 }],
      ["/drives/late", drive("late")],
      ["/network-interfaces/a", { iface_id: "a", host_dev_name: "lo" }],
      ["/vsock", { guest_cid: 3, uds_path: "/nonexistent" }],
      ["/logger", {}],
      ["/metrics", { metrics_path: "/nonexistent" }],
      ["/entropy", {}],
      ["/serial", {}],
      ["/balloon", { amount_mib: 0, deflate_on_oom: true }],
      ["/snapshot/load", { snapshot_path: "a", mem_file_path: "b" }],
      ["/actions", { action_type: "InstanceStart" }],
    ] as const)
      expect(await server.refusal("PUT", path, body)).toBe(late);
  });

  it("has what is about a guest after the start only", async () => {
    await start();
    for (const [method, path, body] of [
      ["PATCH", "/vm", { state: "Paused" }],
      ["PATCH", "/drives/root", { drive_id: "root" }],
      ["PATCH", "/network-interfaces/a", { iface_id: "a" }],
      ["PATCH", "/balloon", { amount_mib: 1 }],
      ["PUT", "/snapshot/create", { snapshot_path: "a", mem_file_path: "b" }],
      ["PUT", "/actions", { action_type: "FlushMetrics" }],
      ["PUT", "/actions", { action_type: "SendCtrlAltDel" }],
    ] as const)
      expect(await server.refusal(method, path, body)).toBe(early);
  });

  it("has snapshots of a paused guest, loaded into a fresh process only", async () => {
    await start();
    await boot();
    const paths = {
      snapshot_path: join(provided.directory, "s"),
      mem_file_path: join(provided.directory, "m"),
    };
    expect(await server.refusal("PUT", "/snapshot/create", paths)).toContain(
      "save/restore unavailable while running",
    );
    await server.send("PATCH", "/vm", { state: "Paused" });
    expect((await server.send("GET", "/")).body).toMatchObject({
      state: "Paused",
    });
    expect((await server.send("PUT", "/snapshot/create", paths)).status).toBe(
      204,
    );
    await server.stop();
    await start();
    expect((await server.send("PUT", "/snapshot/load", paths)).status).toBe(
      204,
    );
    expect((await server.send("GET", "/")).body).toMatchObject({
      state: "Paused",
    });
    await server.stop();
    await start();
    await server.send("PUT", "/entropy", {});
    expect(await server.refusal("PUT", "/snapshot/load", paths)).toContain(
      "not allowed after configuring boot-specific resources",
    );
  });
});

describe("metrics", () => {
  it("are a line for each flush", async () => {
    await start();
    const path = join(provided.directory, "flushed");
    await server.send("PUT", "/drives/root", drive("root", true));
    await server.send("PUT", "/metrics", { metrics_path: path });
    await boot();
    for (let flush = 0; flush < 2; flush += 1)
      await server.send("PUT", "/actions", { action_type: "FlushMetrics" });
    const lines = readFileSync(path, "utf8").trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      block: { read_bytes: 0 },
      block_root: { write_bytes: 0 },
      net: { rx_bytes_count: 0 },
    });
  });
});

describe("an injected fault", () => {
  async function withFault(effect: FaultEffect): Promise<void> {
    provided.configure({
      guest: "none",
      faults: [{ method: "PUT", path: "/drives/{drive_id}", nth: 2, effect }],
    });
    await start();
    provided.configure({ guest: "none" });
    expect((await server.send("PUT", "/drives/a", drive("a"))).status).toBe(
      204,
    );
  }

  const second = () => server.send("PUT", "/drives/b", drive("b"));

  async function driveIds(): Promise<string[]> {
    const { body } = await server.send("GET", "/vm/config");
    return (body as { drives: { drive_id: string }[] }).drives.map(
      ({ drive_id }) => drive_id,
    );
  }

  it("answers a status and does nothing", async () => {
    await withFault({ kind: "answer", status: 500, message: "on fire" });
    expect(await second()).toEqual({
      status: 500,
      body: { fault_message: "on fire" },
    });
    expect(await driveIds()).toEqual(["a"]);
    expect((await second()).status).toBe(204);
  });

  it("is late", async () => {
    await withFault({ kind: "delay", ms: 300 });
    const began = performance.now();
    expect((await second()).status).toBe(204);
    expect(performance.now() - began).toBeGreaterThanOrEqual(290);
  });

  it.each(["half-reply", "no-reply", "garbage"] as const)(
    "spoils the answer: %s",
    async (kind) => {
      await withFault({ kind });
      await expect(second()).rejects.toThrow();
      expect(await driveIds()).toEqual(["a", "b"]);
      expect(
        provided.requests().findLast(({ path }) => path === "/drives/b"),
      ).toMatchObject({ status: null, fault: kind });
    },
  );

  it("crashes before the answer", async () => {
    await withFault({ kind: "crash", when: "before" });
    await expect(second()).rejects.toThrow();
    expect(await server.ended).toMatchObject({ signal: "SIGKILL" });
  });

  it("crashes after the answer", async () => {
    await withFault({ kind: "crash", when: "after" });
    expect((await second()).status).toBe(204);
    expect(await server.ended).toMatchObject({ signal: "SIGKILL" });
  });
});

describe("an older version", () => {
  it("does not know what came later", async () => {
    provided.configure({ guest: "none", version: "1.12.1" });
    await start();
    expect((await server.send("GET", "/version")).body).toEqual({
      firecracker_version: "1.12.1",
    });
    expect(await server.refusal("PUT", "/serial", {})).toBe(
      "Invalid request method and/or path: PUT serial.",
    );
    const image = join(provided.directory, "vmlinuz");
    writeFileSync(image, "MZ, a boot sector");
    await server.send("PUT", "/boot-source", { kernel_image_path: image });
    expect(
      await server.refusal("PUT", "/actions", { action_type: "InstanceStart" }),
    ).toContain("Kernel Loader: Invalid Elf magic number");
    await boot();
    provided.configure({ guest: "none" });
  });
});
