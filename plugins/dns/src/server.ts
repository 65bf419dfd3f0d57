import { isIPv4 } from "node:net";
import {
  CancelledError,
  InvalidValueError,
  parseVmName,
  type Endpoint,
  type Logger,
} from "@banger/core";
import { isDnsUnavailable, type DnsUnavailableError } from "./errors.js";
import { openListeners } from "./listeners.js";
import type { TcpLimits } from "./tcp-listener.js";
import type { Listener } from "./udp-listener.js";
import { answerMessage, zoneName } from "./zone.js";

export interface DnsServerOptions {
  /** port 0 takes a free one */
  readonly listen: Endpoint;
  readonly ttlSeconds: number;
  readonly logger: Logger;
  /** wait before the next attempt at a port that was taken, ms */
  readonly retryMs?: number;
  readonly limits?: TcpLimits;
}

/**
 * The names of this daemon's VMs and the server that answers for them. Listens from the first published name on until `close`;
 * the constructor does no I/O.
 */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #addresses = new Map<string, string>();
  #serial = unixSeconds();
  #listener: Listener | undefined;
  /** binding is one at a time, or a probe would take the port from the server itself */
  #turn: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  /** Where it should listen. */
  get listen(): Endpoint {
    return this.#options.listen;
  }

  /** Where it listens now, or `undefined`. */
  get listening(): Endpoint | undefined {
    const port = this.#listener?.port;
    return port === undefined ? undefined : { host: this.listen.host, port };
  }

  /** `<name>.vm` -> IPv4 address. */
  get published(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#addresses].map(([name, ip]) => [`${name}.${zoneName}`, ip]),
    );
  }

  /**
   * Adds a name or gives it another address, and listens if it does not yet. Idempotent; any number may run side by side.
   * @param dnsName `<VM name>.vm`
   * @param ip IPv4 address
   * @throws DnsPortBusyError, DnsListenError when it cannot listen; the name is kept, and served as soon as the port is to be had,
   *   which is tried again now and then
   * @throws InvalidValueError, CancelledError after `close`
   */
  async publish(dnsName: string, ip: string): Promise<void> {
    const name = parseDnsName(dnsName);
    if (!isIPv4(ip)) {
      throw new InvalidValueError(
        `${JSON.stringify(ip)}, the address of ${dnsName}, is not an IPv4 address`,
      );
    }
    this.#throwIfClosed();
    if (this.#addresses.get(name) !== ip) {
      this.#addresses.set(name, ip);
      this.#advance();
    }
    await this.#ensureListening();
  }

  /** Removes a name. Idempotent; fine for any name that is not there, and before anything was published. */
  withdraw(dnsName: string): void {
    if (this.#addresses.delete(splitDnsName(dnsName).name)) this.#advance();
  }

  /**
   * Can it listen? Binds the port for a moment unless it listens already.
   * @returns what is in the way
   */
  probe(): Promise<DnsUnavailableError | undefined> {
    return this.#inTurn(async () => {
      if (this.#listener || this.#closed) return undefined;
      try {
        const listener = await this.#open();
        await listener.close();
        return undefined;
      } catch (error) {
        if (isDnsUnavailable(error)) return error;
        throw error;
      }
    });
  }

  /** Stops for good: no socket is left, and every connection is ended. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#inTurn(async () => {
      const listener = this.#listener;
      this.#listener = undefined;
      await listener?.close();
    });
  }

  async #ensureListening(): Promise<void> {
    try {
      await this.#inTurn(async () => {
        if (this.#listener) return;
        this.#throwIfClosed();
        this.#listener = await this.#open();
        clearTimeout(this.#retry);
        const { host, port } = { ...this.listen, port: this.#listener.port };
        this.#options.logger.info("DNS server listening", { host, port });
      });
    } catch (error) {
      if (isDnsUnavailable(error)) this.#retryLater();
      throw error;
    }
  }

  /** The program that has the port may end, such as the daemon of another install. */
  #retryLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (this.#addresses.size === 0) return;
      this.#ensureListening().catch((error: unknown) => {
        this.#options.logger.debug("DNS server still cannot listen", { error });
      });
    }, this.#options.retryMs ?? 10_000);
    // Waiting for a port is no reason for the daemon to live.
    this.#retry.unref();
  }

  #open(): Promise<Listener> {
    const { listen, logger, limits, ttlSeconds } = this.#options;
    return openListeners(
      listen,
      (message) =>
        answerMessage(message, {
          addresses: this.#addresses,
          ttlSeconds,
          serial: this.#serial,
        }),
      logger,
      limits,
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new CancelledError("publishing a DNS name");
  }

  /** Begins at the time of day, so that it grows across daemons too. */
  #advance(): void {
    this.#serial = Math.max(this.#serial + 1, unixSeconds());
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
