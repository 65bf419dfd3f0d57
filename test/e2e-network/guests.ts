import type { VmRecord } from "@banger/core";
import type { BangerCli, Outcome } from "../banger-cli.js";
import { web } from "./internet.js";

/** The command that starts a small guest: the packets are the same. Pure. */
export function runArguments(
  name: string,
  options: readonly string[] = [],
): readonly string[] {
  const size = ["--vcpu", "1", "--memory", "256M", "--disk-size", "64M"];
  return ["vm", "run", "-d", "--name", name, ...options, ...size];
}

/** Says what a TCP server at HOST PORT says first, or what kept it from it. */
const greeting = `
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3) as peer:
        print(peer.recv(3).decode())
except OSError as error:
    print(type(error).__name__)
`;

/** The guests of one install, and what they try. */
export class Guests {
  readonly #install: BangerCli;

  constructor(install: BangerCli) {
    this.#install = install;
  }

  /** Starts new ones side by side, and waits until all are ready: names with their options. */
  async run(vms: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const started = await Promise.allSettled(
      Object.entries(vms).map(([name, options]) =>
        this.#install.ok(runArguments(name, options)),
      ),
    );
    for (const one of started) if (one.status === "rejected") throw one.reason;
  }

  async record(name: string): Promise<VmRecord> {
    const shown = await this.#install.json(["vm", "show", name, "--json"]);
    return shown as VmRecord;
  }

  /** Where the files of each are, absolute. */
  async directories(): Promise<readonly string[]> {
    return (await this.#list()).map(({ runtime }) => runtime.directory);
  }

  async states(): Promise<Readonly<Record<string, string>>> {
    const vms = await this.#list();
    return Object.fromEntries(vms.map(({ name, state }) => [name, state]));
  }

  async exec(name: string, ...argv: readonly string[]): Promise<Outcome> {
    return this.#install.run(["vm", "exec", name, "--", ...argv]);
  }

  /** What an HTTP server told a guest; nothing when the guest did not get there. */
  async fetch(
    name: string,
    host: string,
    port: number = web.port,
  ): Promise<string> {
    const url = urlOf(host, port);
    return (
      await this.exec(name, "curl", "-sS", "-m", "20", url)
    ).stdout.trim();
  }

  /** What any of these servers told a guest within a short time. */
  async tryAll(
    name: string,
    places: readonly (readonly [host: string, port: number])[],
  ): Promise<string> {
    const script = 'for url; do curl -sS -m 3 "$url" & done; wait';
    const urls = places.map(([host, port]) => urlOf(host, port));
    return (await this.exec(name, "sh", "-c", script, "sh", ...urls)).stdout;
  }

  /** `SSH` when a guest reaches the SSH server of a host, else the error of Python. */
  async greet(name: string, host: string): Promise<string> {
    const argv = ["python3", "-c", greeting, host, "22"];
    return (await this.exec(name, ...argv)).stdout.trim();
  }

  async #list(): Promise<readonly VmRecord[]> {
    const list = await this.#install.json(["vm", "list", "-a", "--json"]);
    return list as readonly VmRecord[];
  }
}

function urlOf(host: string, port: number): string {
  return `http://${host}:${port}/`;
}
