import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  inject,
  it,
} from "vitest";
import {
  provideFirecracker,
  type ProvidedFirecracker,
} from "../firecracker/provide-firecracker.js";
import { RunningFirecracker } from "../firecracker/running-firecracker.js";
import { eventually } from "../install.js";

let provided: ProvidedFirecracker;
let image: string;
let disk: string;
let server: RunningFirecracker;
let count = 0;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-e2e-"));
  provided = await provideFirecracker(directory);
  const images = inject("imagesDirectory");
  image = join(images, readdirSync(images)[0] ?? "");
  disk = join(directory, "root.raw");
});

afterEach(async () => {
  await server.stop();
});

afterAll(() => {
  rmSync(provided.directory, { recursive: true, force: true });
});

function file(name: string): string {
  return join(provided.directory, name);
}

async function start(...args: readonly string[]): Promise<void> {
  count += 1;
  server = await RunningFirecracker.direct(
    provided,
    `guest-${String(count)}`,
    args,
  );
}

async function put(path: string, body: unknown): Promise<void> {
  const answer = await server.send("PUT", path, body);
  expect([path, answer]).toEqual([path, { status: 204, body: undefined }]);
}

/** Boots the default image from a copy of its disk. */
async function boot(...args: readonly string[]): Promise<string> {
  execFileSync("cp", ["--sparse=always", join(image, "rootfs.ext4"), disk]);
  await start(...args);
  const vsock = file(`vsock-${String(count)}`);
  await put("/machine-config", { vcpu_count: 1, mem_size_mib: 256 });
  await put("/boot-source", {
    kernel_image_path: join(image, "vmlinuz"),
    initrd_path: join(image, "initrd"),
    boot_args:
      "console=ttyS0 reboot=k panic=-1 8250.nr_uarts=1 net.ifnames=0 audit=0",
  });
  await put("/drives/root", {
    drive_id: "root",
    path_on_host: disk,
    is_root_device: true,
    is_read_only: false,
  });
  await put("/metrics", { metrics_path: file("metrics") });
  await put("/serial", { serial_out_path: file("console") });
  await put("/vsock", { guest_cid: 3, uds_path: vsock });
  await put("/actions", { action_type: "InstanceStart" });
  return vsock;
}

/** A connection to a port of the guest, after the server's `OK`. */
interface GuestConnection {
  readonly socket: Socket;
  readonly lines: AsyncIterator<string, undefined>;
}

/** @returns `undefined` when nobody listens there */
async function connectTo(
  vsock: string,
  port: number,
): Promise<GuestConnection | undefined> {
  const socket = connect(vsock);
  socket.on("error", () => undefined);
  socket.write(`CONNECT ${String(port)}\n`);
  const reader = createInterface({ input: socket });
  const lines = reader[Symbol.asyncIterator]() as GuestConnection["lines"];
  const { value } = await lines.next();
  if (value === undefined) return undefined;
  expect(value).toMatch(/^OK \d+$/);
  return { socket, lines };
}

async function agent(vsock: string): Promise<GuestConnection> {
  return eventually("the guest's agent", () => connectTo(vsock, 1024), 300_000);
}

async function ask(
  { socket, lines }: GuestConnection,
  execute: string,
  args: unknown,
): Promise<unknown> {
  socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
  const { value } = await lines.next();
  return (JSON.parse(value ?? "null") as { return: unknown }).return;
}

/** The guest's QEMU; there is one such child at most. */
function qemuPid(): number {
  const pid = String(server.process.pid);
  const [child = ""] = readFileSync(
    `/proc/${pid}/task/${pid}/children`,
    "utf8",
  ).split(" ");
  return Number(child);
}

async function gone(pid: number): Promise<void> {
  await eventually("the end of QEMU", async () => {
    try {
      return / [ZX] /.test(readFileSync(`/proc/${String(pid)}/stat`, "utf8"));
    } catch {
      return true;
    }
  });
}

/** Starts a command in the guest. */
async function shell(
  connection: GuestConnection,
  command: string,
): Promise<number> {
  const arg = ["-c", command];
  const { pid } = (await ask(connection, "guest-exec", {
    ...{ path: "/bin/sh", arg },
  })) as { pid: number };
  return pid;
}

async function finished(
  connection: GuestConnection,
  pid: number,
): Promise<void> {
  await eventually("the end of a command", async () => {
    const status = await ask(connection, "guest-exec-status", { pid });
    return (status as { exited: boolean }).exited;
  });
}

describe("the contract server's guest", () => {
  it("answers over vsock, one connection after the other, and ends with status 0 when it reboots", async () => {
    const vsock = await boot();
    const first = await agent(vsock);
    expect(await connectTo(vsock, 1025)).toBeUndefined();
    const second = await agent(vsock);
    expect(await ask(first, "guest-sync", { id: 1 })).toBe(1);
    const waits = ask(second, "guest-sync", { id: 2 });
    expect(await ask(first, "guest-sync", { id: 3 })).toBe(3);
    first.socket.destroy();
    expect(await waits).toBe(2);
    await put("/actions", { action_type: "FlushMetrics" });
    const metrics = JSON.parse(readFileSync(file("metrics"), "utf8")) as {
      block_root: { read_bytes: number };
    };
    expect(metrics.block_root.read_bytes).toBeGreaterThan(1024 * 1024);
    const qemu = qemuPid();
    await shell(second, "sync; reboot -f");
    expect(await server.ended).toMatchObject({ status: 0, signal: null });
    await gone(qemu);
    expect(readFileSync(file("console"), "utf8")).toContain("Linux version");
  });

  it("goes on from a snapshot in another process, and leaves the server when it powers off", async () => {
    const vsock = await boot("--enable-pci");
    const before = await agent(vsock);
    expect(await ask(before, "guest-sync", { id: 1 })).toBe(1);
    await finished(before, await shell(before, "touch /run/mark"));
    before.socket.destroy();
    expect(
      (await server.send("PATCH", "/vm", { state: "Paused" })).status,
    ).toBe(204);
    const paths = { snapshot_path: file("state"), mem_file_path: file("mem") };
    await put("/snapshot/create", paths);
    const old = qemuPid();
    server.process.kill("SIGKILL");
    await server.ended;
    await gone(old);
    rmSync(vsock);

    await start("--enable-pci");
    await put("/snapshot/load", { ...paths, resume_vm: true });
    const after = await agent(vsock);
    expect(await ask(after, "guest-sync", { id: 2 })).toBe(2);
    await shell(after, "[ -e /run/mark ] && sync && poweroff -f");
    await eventually("the power-off", async () =>
      readFileSync(file("console"), "utf8").includes("Power down"),
    );
    expect((await server.send("GET", "/")).body).toMatchObject({
      state: "Running",
    });
  });
});
