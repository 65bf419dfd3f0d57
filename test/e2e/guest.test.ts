import { createHash } from "node:crypto";
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { eventually, Home } from "./harness.js";

/** An HTTP server of the few modules that the image's Python has. */
const webServer = `
import socket, threading
body = open("/srv/file", "rb").read()
def talk(peer):
    with peer:
        request = b""
        while b"\\r\\n\\r\\n" not in request:
            more = peer.recv(4096)
            if not more: return
            request += more
        head = "HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
        peer.sendall(head.encode() + (b"" if request.startswith(b"HEAD") else body))
listener = socket.create_server(("127.0.0.1", 8000))
while True:
    threading.Thread(target=talk, args=(listener.accept()[0],)).start()
`;

interface Port {
  readonly protocol: string;
  readonly port: number;
  readonly process?: string;
  readonly scheme?: string;
  readonly endpoint?: string;
}

describe("what a guest says and offers", () => {
  const name = "guest";
  const memoryMiB = 512;
  const guestPort = 8000;
  /** Ports of the VM's own address, so that nobody else can have them. */
  const heldPort = 18_000;
  const keptPort = 18_001;
  const bytes = 5_000_000;
  let home: Home;
  let before: HostInventory;
  let address: string;
  /** The VM's name on a host whose resolver is told of it, as by a developer, and else its address. */
  let host: string;
  /** Where its ports are published: there, or where guests are reached directly at a loopback address of the VM's own. */
  let published: string;
  beforeAll(async () => {
    home = new Home(Home.dnsConfig(15_377));
    before = takeInventory(home.path);
    const size = ["--memory", `${String(memoryMiB)}M`, "--disk-size", "64M"];
    await home.ok(["vm", "run", "-d", "--name", name, ...size]);
    const vm = (await home.json(["vm", "show", name, "--json"])) as {
      runtime: { guestIp: string };
    };
    address = vm.runtime.guestIp;
    const named = await lookup(`${name}.vm`).catch(() => undefined);
    host = named?.address === address ? `${name}.vm` : address;
    await guest(
      "sh",
      "-c",
      `head -c ${String(bytes)} /dev/urandom > /srv/file`,
    );
    await serve();
  });
  afterAll(() => home.remove());

  const guest = (...argv: string[]): Promise<string> =>
    home.ok(["vm", "exec", name, "--", ...argv]);
  /** On the guest's loopback address alone. */
  const serve = (): Promise<string> =>
    guest("systemd-run", "--unit=www", "python3", "-c", webServer);
  const ports = async (): Promise<readonly Port[]> => {
    const [vm] = (await home.json(["vm", "ports", name, "--json"])) as [
      { ports: readonly Port[] },
    ];
    return vm.ports;
  };
  const web = async (): Promise<Port | undefined> =>
    (await ports()).find(({ port }) => port === guestPort);
  /** The file through a published port, and the guest's own idea of it. */
  const fetchFile = async (port: number): Promise<void> => {
    const url = `http://${publishedAddress()}:${String(port)}/file`;
    const response = await fetch(url);
    const body = Buffer.from(await response.arrayBuffer());
    expect(body.length).toBe(bytes);
    const hash = createHash("sha256").update(body).digest("hex");
    expect(await guest("sha256sum", "/srv/file")).toContain(hash);
  };
  const publishedAddress = (): string =>
    published === host ? address : published;
  const isOpen = (port: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, publishedAddress());
      socket.on("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.on("error", () => resolve(false));
    });

  it("answers pings, and is well", async () => {
    const pings = await home.ok(["vm", "ping", "-c", "2", name]);
    expect(pings).toMatch(/^(\d+\.\d ms\n){2}$/);
    const health = await home.json(["vm", "health", name, "--json"]);
    expect(health).toMatchObject([{ name, healthy: true }]);
  });

  it("lists what listens, with process, scheme and endpoint", async () => {
    // A socket that appears while ss(8) looks has no process yet.
    const seen = await eventually(
      "the web server and its process",
      async () => {
        const port = await web();
        return port?.process === undefined ? undefined : port;
      },
    );
    expect(seen).toMatchObject({
      protocol: "tcp",
      process: "python3",
      scheme: "http",
    });
    expect(seen.endpoint).toBeUndefined();
    const ssh = (await ports()).find(({ port }) => port === 22);
    expect(ssh).toMatchObject({ process: "sshd" });
    expect(ssh?.endpoint?.split(":")[0]).toBe(host);
    const shown = await home.run(["vm", "ports", name]);
    expect(shown.stderr).toContain(`banger vm forward ${name} 8000`);
  });

  it("publishes a port until its client ends, unchanged to the last byte", async () => {
    const ports = `${String(heldPort)}:${String(guestPort)}`;
    const forward = home.start(["vm", "forward", name, ports]);
    const ended = new Promise((resolve) => forward.on("exit", resolve));
    const [line] = await new Promise<string[]>((resolve) => {
      forward.stdout.on("data", (chunk: Buffer) =>
        resolve(chunk.toString().split("\n")),
      );
    });
    expect(line).toMatch(new RegExp(`^\\S+:${String(heldPort)}$`));
    published = line?.split(":")[0] ?? "";
    expect(published === host || published.startsWith("127.")).toBe(true);
    expect((await web())?.endpoint).toBe(`http://${line}`);
    await Promise.all([fetchFile(heldPort), fetchFile(heldPort)]);
    const twice = await home.run(["vm", "forward", name, ports]);
    expect(twice.stderr).toContain("ERR_PORT_FORWARDED");
    forward.kill("SIGINT");
    expect(await ended).toBe(0);
    await eventually("a closed port", async () => !(await isOpen(heldPort)));
  });

  it("says why a port cannot be had, and keeps no record of it", async () => {
    const taken = await home.run([
      ...["vm", "forward", name, "18002:8000", "--keep"],
      ...["--address", "192.0.2.1"],
    ]);
    expect(taken.status).toBe(1);
    expect(taken.stderr).toContain("ERR_PORT_UNAVAILABLE");
    const vm = (await home.json(["vm", "show", name, "--json"])) as {
      runtime: { forwards?: unknown };
    };
    expect(vm.runtime.forwards).toBeUndefined();
  });

  it("has a kept port after a daemon's restart and its own, until it is removed", async () => {
    const ports = `${String(keptPort)}:${String(guestPort)}`;
    expect(await home.ok(["vm", "forward", name, ports, "--keep"])).toBe(
      `${published}:${String(keptPort)}\n`,
    );
    await fetchFile(keptPort);

    await home.ok(["daemon", "stop"]);
    expect(await isOpen(keptPort)).toBe(false);
    await home.ok(["vm", "list"]);
    await eventually("an adopted port", () => isOpen(keptPort));
    await fetchFile(keptPort);

    await home.ok(["vm", "stop", name]);
    expect(await isOpen(keptPort)).toBe(false);
    const refused = await home.run(["vm", "forward", name, "8001"]);
    expect(refused.stderr).toContain("ERR_VM_STATE");
    await home.ok(["vm", "start", name]);
    await serve();
    await eventually("the web server", web);
    await fetchFile(keptPort);
    const health = await home.json(["vm", "health", name, "--json"]);
    expect(health).toMatchObject([{ healthy: true }]);

    await home.ok(["vm", "forward", name, String(keptPort), "--remove"]);
    expect(await isOpen(keptPort)).toBe(false);
    const again = await home.run([
      ...["vm", "forward", name, String(keptPort), "--remove"],
    ]);
    expect(again.stderr).toContain("ERR_PORT_NOT_FORWARDED");
  });

  it("uses what can be, and the record has it", async () => {
    await home.ok(["vm", "stats", name]);
    const [vm] = (await home.json(["vm", "stats", "--json"])) as [
      {
        stats: {
          cpuPercent: number;
          residentBytes: number;
          diskBytes: number;
          guest: { memoryTotalBytes: number; memoryAvailableBytes: number };
        };
      },
    ];
    const { cpuPercent, residentBytes, diskBytes, guest } = vm.stats;
    const total = guest.memoryTotalBytes / 2 ** 20;
    // The kernel keeps some for itself.
    expect(total).toBeGreaterThan(memoryMiB * 0.8);
    expect(total).toBeLessThanOrEqual(memoryMiB);
    expect(guest.memoryAvailableBytes).toBeLessThan(guest.memoryTotalBytes);
    expect(cpuPercent).toBeGreaterThanOrEqual(0);
    expect(residentBytes).toBeGreaterThan(50 * 2 ** 20);
    expect(diskBytes).toBeGreaterThan(bytes);
    expect(await home.json(["vm", "show", name, "--json"])).toMatchObject({
      stats: { diskBytes },
    });
  });

  it("is not well when its VMM has gone, and leaves nothing", async () => {
    await home.ok(["vm", "kill", name]);
    const health = await home.run(["vm", "health", name, "--json"]);
    expect(health.status).toBe(1);
    expect(JSON.parse(health.stdout)).toMatchObject([
      {
        healthy: false,
        checks: [{ id: "vm.state", fix: `banger vm start ${name}` }],
      },
    ]);
    const ping = await home.run(["vm", "ping", name]);
    expect(ping.stderr).toContain("ERR_VM_STATE");
    await home.ok(["vm", "delete", name]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });
});
