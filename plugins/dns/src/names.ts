import { isIPv4 } from "node:net";
import {
  covers,
  parseCidr,
  type Subnet,
  InvalidValueError,
  parseVmName,
} from "@banger/core";
import { zoneName, type Zone } from "./zone.js";

/** The names of this daemon's VMs, as they are at each moment. */
export class Names {
  readonly #ttlSeconds: number;
  readonly #addresses = new Map<string, string>();
  readonly #names = new Map<string, string>();
  #subnets: readonly Subnet[] = [];
  #zone: Zone | undefined;
  #serial = unixSeconds();

  constructor(ttlSeconds: number) {
    this.#ttlSeconds = ttlSeconds;
  }

  /** `<name>.vm` -> IPv4 address. */
  get published(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#addresses].map(([name, ip]) => [`${name}.${zoneName}`, ip]),
    );
  }

  get isEmpty(): boolean {
    return this.#addresses.size === 0;
  }

  /** What is answered now; the same object until something changes. */
  get zone(): Zone {
    return (this.#zone ??= {
      addresses: this.#addresses,
      names: this.#names,
      subnets: this.#subnets,
      ttlSeconds: this.#ttlSeconds,
      serial: this.#serial,
    });
  }

  /**
   * Adds a name or gives it another address. Idempotent.
   * @param dnsName `<VM name>.vm`
   * @param ip IPv4 address
   * @throws InvalidValueError
   */
  publish(dnsName: string, ip: string): void {
    const name = parseDnsName(dnsName);
    if (!isIPv4(ip)) {
      throw new InvalidValueError(
        `${JSON.stringify(ip)}, the address of ${dnsName}, is not an IPv4 address`,
      );
    }
    const before = this.#addresses.get(name);
    if (before === ip) return;
    if (before !== undefined) this.#forget(name, before);
    this.#addresses.set(name, ip);
    this.#names.set(ip, name);
    this.#advance();
  }

  /** Idempotent; fine for any name that is not there. */
  withdraw(dnsName: string): void {
    const { name } = splitDnsName(dnsName);
    const address = this.#addresses.get(name);
    if (address === undefined) return;
    this.#addresses.delete(name);
    this.#forget(name, address);
    this.#advance();
  }

  /** Says which subnets are guests', so that nobody else is asked for the names of addresses in them. Idempotent. */
  cover(cidrs: readonly string[]): void {
    const found: Subnet[] = cidrs
      .flatMap((cidr) => parseCidr(cidr) ?? [])
      .map(({ first, prefix }) => ({ first, prefix }));
    const subnets = found.filter(
      (subnet, index) =>
        found.findIndex((other) => covers(other, subnet)) === index,
    );
    if (JSON.stringify(subnets) === JSON.stringify(this.#subnets)) return;
    this.#subnets = subnets;
    this.#advance();
  }

  #forget(name: string, address: string): void {
    if (this.#names.get(address) === name) this.#names.delete(address);
  }

  /** Begins at the time of day, so that it grows across daemons too. */
  #advance(): void {
    this.#serial = Math.max(this.#serial + 1, unixSeconds());
    this.#zone = undefined;
  }
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** @throws InvalidValueError */
function parseDnsName(dnsName: string): string {
  const { name, zone } = splitDnsName(dnsName);
  if (zone === zoneName) return parseVmName(name);
  throw new InvalidValueError(
    `${JSON.stringify(dnsName)} is not a name of the zone ${zoneName}`,
    { hint: `Names are <VM name>.${zoneName}` },
  );
}

function splitDnsName(dnsName: string): { name: string; zone: string } {
  const [name = "", ...zone] = dnsName.toLowerCase().split(".");
  return { name, zone: zone.join(".") };
}
