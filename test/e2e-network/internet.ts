import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { eventually } from "../install.js";
import { runVariables } from "../run-variables.js";

/** Addresses for documentation (RFC 5737), so nobody's own; the first cable's are of NetworkNamespaces. */
export const web = {
  name: "web.example",
  address: "203.0.113.80",
  port: 8080,
  otherPort: 8081,
} as const;
export const otherWeb = {
  name: "other.example",
  address: "203.0.113.81",
  port: 8080,
  otherPort: 8081,
} as const;

/** What a server outside says. Pure. */
export function hello({ address, port }: typeof web | typeof otherWeb): string {
  return `hello from ${address}:${port}`;
}

/** The host's addresses as they are seen outside, by cable. */
export const seenAs = { first: "198.51.100.2", second: "192.0.2.2" } as const;

const nameServer = "203.0.113.53";
const secondCable = {
  device: "uplink2",
  host: seenAs.second,
  outside: "192.0.2.1",
} as const;

/** What an HTTP server saw of a request. */
interface Seen {
  /** address that the request came from */
  readonly peer: string;
  readonly port: number;
}

/** Prints a line for each request, as JSON. */
const httpServer = `
const { createServer } = require("node:http");
const places = JSON.parse(process.argv[1]);
let missing = places.length;
for (const { address, port } of places)
  createServer((request, response) => {
    console.log(JSON.stringify({ peer: request.socket.remoteAddress, port }));
    response.end("hello from " + address + ":" + port + "\\n");
  }).listen(port, address, () => (missing -= 1) === 0 && console.log("{}"));
`;

/**
 * All that is beyond the host of a run: HTTP servers and a name server on addresses of their own, behind one cable or two. It is in the
 * other network namespace of the run; the host's end of the cables, its default route and its resolv.conf belong to it, too.
 */
export class Internet {
  readonly #http: ChildProcess;
  readonly #dns: ChildProcess;
  readonly #firstRouter: string;
  readonly #seen: Seen[] = [];
  readonly #asked: string[] = [];

  private constructor(
    http: ChildProcess,
    dns: ChildProcess,
    firstRouter: string,
  ) {
    this.#http = http;
    this.#dns = dns;
    this.#firstRouter = firstRouter;
  }

  static async start(): Promise<Internet> {
    // Outside of a run it would be the machine's own network and resolv.conf.
    const [namespace = "", router = ""] =
      process.env[runVariables.outside]?.split(" ") ?? [];
    if (namespace === "") throw new Error("run it by npm run test:network");
    const inside = (...argv: readonly string[]): ChildProcess =>
      spawn("ip", ["netns", "exec", namespace, ...argv], {
        stdio: ["ignore", "pipe", "pipe"],
      });
    for (const address of [web.address, otherWeb.address, nameServer])
      outside(namespace, "ip", "address", "add", `${address}/32`, "dev", "lo");
    outside(namespace, "nft", strayCounter);
    const places = [web, otherWeb].flatMap(({ address, port, otherPort }) => [
      { address, port },
      { address, port: otherPort },
    ]);
    const http = inside(
      ...[process.execPath, "-e", httpServer],
      JSON.stringify(places),
    );
    const dns = inside(...dnsmasq());
    const made = new Internet(http, dns, router);
    try {
      await made.#listen();
      made.#plug(namespace);
      made.#resolve();
      // As on a host that forwards for nobody.
      host("sysctl", "-qw", "net.ipv4.ip_forward=0");
    } catch (error) {
      await made.#end();
      throw error;
    }
    return made;
  }

  /** What the HTTP servers have seen since the last look. */
  takeRequests(): readonly Seen[] {
    return this.#seen.splice(0);
  }

  /** Names that the name server was asked for since the last look, in their order. */
  takeQuestions(): readonly string[] {
    return this.#asked.splice(0);
  }

  /** Packets that came with the address of a guest: not one of them should ever get here. */
  strays(): number {
    const text = this.#enter("nft", "list", "table", "ip", "strays");
    return Number(/counter packets (\d+)/.exec(text)?.[1]);
  }

  /** The host's default route: by the first cable or the second. */
  route(cable: "first" | "second"): void {
    const router =
      cable === "first"
        ? ["via", this.#firstRouter]
        : ["via", secondCable.outside];
    host("ip", "route", "replace", "default", ...router);
  }

  async stop(): Promise<void> {
    host("umount", "/etc/resolv.conf");
    this.route("first");
    host("ip", "link", "delete", secondCable.device);
    for (const address of [web.address, otherWeb.address, nameServer])
      this.#enter("ip", "address", "delete", `${address}/32`, "dev", "lo");
    this.#enter("nft", "delete", "table", "ip", "strays");
    await this.#end();
  }

  async #listen(): Promise<void> {
    let isReady = false;
    eachLine(this.#http.stdout, (line) => {
      const seen = JSON.parse(line) as Partial<Seen>;
      isReady = true;
      if (seen.peer !== undefined) this.#seen.push(seen as Seen);
    });
    let answers = false;
    // dnsmasq(8): `-` of --log-facility is stderr.
    eachLine(this.#dns.stderr, (line) => {
      if (/ started, /.test(line)) answers = true;
      // dnsmasq(8), --log-queries: `query[A] NAME from ADDRESS`
      const [, name] = / query\[\w+\] (\S+) from /.exec(line) ?? [];
      if (name !== undefined) this.#asked.push(name);
    });
    await eventually("the servers outside", async () => {
      for (const child of [this.#http, this.#dns])
        if (child.exitCode !== null) throw new Error("a server has ended");
      return isReady && answers;
    });
  }

  #plug(namespace: string): void {
    const { device, host: mine, outside: theirs } = secondCable;
    const peer = ["peer", "name", "downlink2", "netns", namespace];
    host("ip", "link", "add", device, "type", "veth", ...peer);
    host("ip", "address", "add", `${mine}/30`, "dev", device);
    host("ip", "link", "set", device, "up");
    const far = ["dev", "downlink2"];
    outside(namespace, "ip", "address", "add", `${theirs}/30`, ...far);
    outside(namespace, "ip", "link", "set", ...far, "up");
  }

  /** The mount namespace is the run's own, so the machine keeps its file. */
  #resolve(): void {
    const directory = mkdtempSync(join(tmpdir(), "banger-resolv-"));
    try {
      const file = join(directory, "resolv.conf");
      writeFileSync(file, `nameserver ${nameServer}\n`);
      host("mount", "--bind", file, "/etc/resolv.conf");
    } finally {
      // The mount keeps its file.
      rmSync(directory, { recursive: true });
    }
  }

  /** Also where /run is another one, and namespaces have no names. */
  #enter(...argv: readonly string[]): string {
    return host("nsenter", "-t", String(this.#http.pid), "-n", "--", ...argv);
  }

  async #end(): Promise<void> {
    for (const child of [this.#http, this.#dns]) {
      if (child.exitCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  }
}

const strayCounter =
  "add table ip strays; add chain ip strays arrive { type filter hook prerouting priority -300; }; add rule ip strays arrive ip saddr 172.16.0.0/12 counter";

function dnsmasq(): readonly string[] {
  const record = ({ name, address }: { name: string; address: string }) =>
    `--host-record=${name},${address},60`;
  return [
    ...["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"],
    ...["--no-resolv", "--no-hosts", "--user=root", "--pid-file="],
    ...["--bind-interfaces", `--listen-address=${nameServer}`],
    ...["--log-queries", "--log-facility=-"],
    ...["--local=/example/", record(web), record(otherWeb)],
  ];
}

function eachLine(output: Readable | null, look: (line: string) => void): void {
  if (!output) throw new Error("the output goes elsewhere");
  createInterface(output).on("line", look);
}

function host(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { encoding: "utf8" });
}

function outside(namespace: string, ...argv: readonly string[]): string {
  return host("ip", "netns", "exec", namespace, ...argv);
}
