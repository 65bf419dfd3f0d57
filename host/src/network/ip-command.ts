import { CommandFailedError, type CommandRunner } from "@banger/core";
import { parseJson } from "../files/parse-json.js";

/** Netlink answers at once; a minute is a host that is in trouble, ms. */
const timeoutMs = 60_000;

/** Room for what a bridge's 1024 ports print, with details. */
const maxListBytes = 16 * 2 ** 20;

/** One object of `ip -json`; fields are read as what they turn out to be. */
export type IpObject = Readonly<Record<string, unknown>>;

/** iproute2's `ip`. */
export class IpCommand {
  readonly #commands: CommandRunner;

  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }

  /**
   * Runs `ip` with these arguments.
   * @throws ToolMissingError, CommandFailedError, CancelledError
   */
  async run(args: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#commands.run({ file: "ip", args, timeoutMs, ...only(signal) });
  }

  /**
   * Runs lines of `ip` in one process, in their order, up to the first that fails.
   * @throws as {@link IpCommand.run}
   */
  async batch(lines: readonly string[], signal?: AbortSignal): Promise<void> {
    const command = { file: "ip", args: ["-batch", "-"], timeoutMs };
    const input = lines.map((line) => `${line}\n`).join("");
    await this.#commands.run({ ...command, input, ...only(signal) });
  }

  /**
   * As {@link IpCommand.batch}, but what fails stops nothing that comes after it.
   * @throws as {@link IpCommand.run}, when one has failed
   */
  async batchAll(
    lines: readonly string[],
    signal?: AbortSignal,
  ): Promise<void> {
    const args = ["-force", "-batch", "-"];
    const input = lines.map((line) => `${line}\n`).join("");
    await this.#commands.run({
      ...{ file: "ip", args, timeoutMs, input },
      ...only(signal),
    });
  }

  /** Every device of the host, without its addresses. */
  async devices(signal?: AbortSignal): Promise<readonly NamedDevice[]> {
    const links = await this.list(["-details", "link", "show"], signal);
    return links.flatMap((link) =>
      typeof link["ifname"] === "string"
        ? [{ name: link["ifname"], ...readDevice(link) }]
        : [],
    );
  }

  /** The ports of a bridge; none when there is no such bridge. */
  async ports(
    bridge: string,
    signal?: AbortSignal,
  ): Promise<readonly NetworkPort[]> {
    const links = await this.list(["link", "show"], signal);
    return links.flatMap(({ ifname, master, ifalias }) =>
      typeof ifname === "string" && master === bridge
        ? [
            {
              name: ifname,
              ...(typeof ifalias === "string" ? { alias: ifalias } : {}),
            },
          ]
        : [],
    );
  }

  /**
   * What `ip -json` lists.
   * @throws as {@link IpCommand.run}; Error when it is no list
   */
  async list(
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly IpObject[]> {
    const { stdout } = await this.#commands.run({
      file: "ip",
      args: ["-json", ...args],
      timeoutMs,
      maxOutputBytes: maxListBytes,
      ...only(signal),
    });
    return parseList(stdout);
  }

  /** The device with its kind and its IPv4 addresses, or `undefined` when there is none of this name. */
  async device(
    name: string,
    signal?: AbortSignal,
  ): Promise<NetworkDevice | undefined> {
    const args = ["-json", "-details", "address", "show", "dev", name];
    const result = await this.#commands.run({
      file: "ip",
      args,
      timeoutMs,
      okExitCodes: [0, 1],
      ...only(signal),
    });
    if (result.exitCode === 0) {
      const [found] = parseList(result.stdout);
      return found && readDevice(found);
    }
    // 1 is any failure of `ip` itself.
    if (/ does not exist/.test(result.stderr)) return undefined;
    throw new CommandFailedError({ file: "ip", args }, "failed", result);
  }
}

/** A port of a bridge. */
export interface NetworkPort {
  readonly name: string;
  /** free text of whoever made it */
  readonly alias?: string;
}

/** A {@link NetworkDevice} of a list. */
export interface NamedDevice extends NetworkDevice {
  readonly name: string;
}

/** A network device of the host, as far as it matters here. */
export interface NetworkDevice {
  /** `bridge`, `tun`, `veth`; absent for hardware */
  readonly kind?: string;
  /** `tap` or `tun`, of devices of the kind `tun` */
  readonly tunType?: string;
  /** of devices of the kind `tun`: the user that may open it, by name when it has one, else the uid */
  readonly user?: string;
  /** MAC address */
  readonly mac?: string;
  /** free text of whoever made it */
  readonly alias?: string;
  /** bridge that it is a port of */
  readonly master?: string;
  /** of a port: does the bridge keep it from other ports of which this is true? */
  readonly isIsolated: boolean;
  readonly isUp: boolean;
  /** up, and something is at its other end: of a TAP device, a process that has it open */
  readonly hasCarrier: boolean;
  /** IPv4, with prefix length */
  readonly addresses: readonly string[];
}

function readDevice(found: IpObject): NetworkDevice {
  const info = isObject(found["linkinfo"]) ? found["linkinfo"] : {};
  const data = isObject(info["info_data"]) ? info["info_data"] : {};
  const { info_kind: kind } = info;
  const { type: tunType, user } = data;
  const port = isObject(info["info_slave_data"]) ? info["info_slave_data"] : {};
  const { master, addr_info: addresses, address: mac, ifalias } = found;
  const flags: readonly unknown[] = Array.isArray(found["flags"])
    ? found["flags"]
    : [];
  return {
    ...(typeof kind === "string" ? { kind } : {}),
    ...(typeof tunType === "string" ? { tunType } : {}),
    ...(typeof user === "string" || typeof user === "number"
      ? { user: String(user) }
      : {}),
    ...(typeof mac === "string" ? { mac } : {}),
    ...(typeof ifalias === "string" ? { alias: ifalias } : {}),
    ...(typeof master === "string" ? { master } : {}),
    isIsolated: port["isolated"] === true,
    isUp: flags.includes("UP"),
    hasCarrier: flags.includes("LOWER_UP"),
    addresses: (Array.isArray(addresses) ? addresses : [])
      .filter(isObject)
      .filter(({ family }) => family === "inet")
      .map(({ local, prefixlen }) => `${String(local)}/${String(prefixlen)}`),
  };
}

function parseList(text: string): readonly IpObject[] {
  // Of nothing to list, some versions print nothing.
  const value = text.trim() === "" ? [] : parseJson(text);
  if (!Array.isArray(value)) throw new Error("ip -json printed no list");
  return value.filter(isObject);
}

function isObject(value: unknown): value is IpObject {
  return typeof value === "object" && value !== null;
}

function only(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
