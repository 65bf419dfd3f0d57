import { stat } from "node:fs/promises";
import { isIP, isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { InvalidValueError, type Endpoint } from "@banger/core";
import { isUnreadable, readSmallFile } from "./small-file.js";

/** The second has what systemd-resolved itself asks, for hosts whose first names no server. */
const files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/** resolv.conf(5): MAXNS */
const most = 3;
/** How long a file counts as unchanged, ms. */
const freshMs = 1_000;

/**
 * Reads `address` or `address:port`.
 * @throws {@link InvalidValueError} unless it is an IPv4 address that one server can have, and a port 1 to 65535
 */
export function parseUpstream(text: string): Endpoint {
  const [, host = "", digits = "53"] =
    /^([0-9.]+)(?::([1-9][0-9]{0,4}))?$/.exec(text) ?? [];
  const port = Number(digits);
  const first = Number(host.split(".")[0]);
  if (isIPv4(host) && first > 0 && first < 224 && port <= 65_535)
    return { host, port };
  throw new InvalidValueError(
    `${JSON.stringify(text)} is no address of a name server`,
    {
      hint: "Use an IPv4 address, with a port unless it is 53: 192.0.2.1:5353",
    },
  );
}

/** Whom guests' questions are forwarded to. */
export class Upstreams {
  readonly #configured: readonly Endpoint[];
  readonly #files: readonly string[];
  readonly #isOurs: (endpoint: Endpoint) => boolean;
  #found: readonly Endpoint[] = [];
  #version = "";
  #lookedAt = -Infinity;

  /**
   * @param configured when empty, the host's own
   * @param isOurs does that lead back to this server?
   */
  constructor(options: {
    readonly configured: readonly Endpoint[];
    readonly isOurs: (endpoint: Endpoint) => boolean;
    readonly files?: readonly string[];
  }) {
    this.#configured = options.configured;
    this.#isOurs = options.isOurs;
    this.#files = options.files ?? files;
  }

  /** In the order in which they are to be asked; what leads back to this server is left out. */
  async list(): Promise<readonly Endpoint[]> {
    if (this.#configured.length === 0) await this.#refresh();
    const all = this.#configured.length > 0 ? this.#configured : this.#found;
    return all.filter((endpoint) => !this.#isOurs(endpoint));
  }

  async #refresh(): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAt < freshMs) return;
    this.#lookedAt = now;
    const version = (await Promise.all(this.#files.map(versionOf))).join();
    if (version === this.#version) return;
    for (const file of this.#files) {
      this.#found = nameserversOf(await readSmallFile(file));
      if (this.#found.length > 0) break;
    }
    this.#version = version;
  }
}

/** Does the endpoint lead to a socket of this host that listens there? An address of 0.0.0.0 stands for all that the host has. */
export function leadsTo(endpoint: Endpoint, listening: Endpoint): boolean {
  if (endpoint.port !== listening.port) return false;
  if (endpoint.host === listening.host) return true;
  if (listening.host !== "0.0.0.0") return false;
  if (endpoint.host.startsWith("127.")) return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === endpoint.host),
  );
}

/** Pure. */
function nameserversOf(text: string): readonly Endpoint[] {
  return text
    .split("\n")
    .flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
    .filter((host) => isIP(host) !== 0 && host !== "0.0.0.0")
    .slice(0, most)
    .map((host) => ({ host, port: 53 }));
}

async function versionOf(file: string): Promise<string> {
  try {
    const { ino, mtimeMs, size } = await stat(file);
    return [ino, mtimeMs, size].join(":");
  } catch (error) {
    if (isUnreadable(error)) return "";
    throw error;
  }
}
