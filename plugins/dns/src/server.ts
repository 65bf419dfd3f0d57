import { CancelledError, type Endpoint, type Logger } from "@banger/core";
import { Answering } from "./answering.js";
import { isDnsUnavailable, type DnsUnavailableError } from "./errors.js";
import type { Forwarder } from "./forwarder.js";
import { openListeners } from "./listeners.js";
import { Names } from "./names.js";
import type { TcpLimits } from "./tcp-listener.js";
import type { Listener } from "./udp-listener.js";

export interface DnsServerOptions {
  /** port 0 takes a free one */
  readonly listen: Endpoint;
  readonly ttlSeconds: number;
  readonly logger: Logger;
  /** who answers for names that are not ours; absent: they are refused */
  readonly forwarder?: Pick<Forwarder, "answer">;
  /** wait before the next attempt at a port that was taken, ms */
  readonly retryMs?: number;
  readonly limits?: TcpLimits;
}

/**
 * The names of this daemon's VMs and the server that answers for them. Listens from the first published name on until `close`;
 * the constructor does no I/O.
 */
export class DnsServer {
  readonly names: Names;
  readonly #options: DnsServerOptions;
  readonly #answering: Answering;
  /** where it listens beside its own address, for guests */
  readonly #gateways = new Map<string, Listener>();
  #listener: Listener | undefined;
  /** Opening and closing take turns. */
  #turn: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.names = new Names(options.ttlSeconds);
    this.#answering = new Answering(() => this.names.zone, options.forwarder);
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

  /** Everywhere that it listens. */
  get endpoints(): readonly Endpoint[] {
    const gateways = [...this.#gateways].map(([host, { port }]) => ({
      host,
      port,
    }));
    return this.listening ? [this.listening, ...gateways] : gateways;
  }

  /** `<name>.vm` -> IPv4 address. */
  get published(): ReadonlyMap<string, string> {
    return this.names.published;
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
    this.#throwIfClosed();
    this.names.publish(dnsName, ip);
    await this.#ensureListening();
  }

  /** Removes a name. Idempotent; fine for any name that is not there, and before anything was published. */
  withdraw(dnsName: string): void {
    this.names.withdraw(dnsName);
  }

  /**
   * Listens on one more address of the host, under the same port number. Idempotent.
   * @returns where that is
   * @throws DnsPortBusyError, DnsListenError, CancelledError after `close`
   */
  async listenAt(host: string): Promise<Endpoint> {
    const { host: own, port } = this.listen;
    // Every address of the host is there already.
    if (own === "0.0.0.0") {
      await this.#ensureListening();
      return { host, port: this.listening?.port ?? port };
    }
    return this.#inTurn(async () => {
      this.#throwIfClosed();
      const endpoint = { host, port: this.listening?.port ?? port };
      const listener = this.#gateways.get(host) ?? (await this.#open(endpoint));
      this.#gateways.set(host, listener);
      return { host, port: listener.port };
    });
  }

  /**
   * Can it listen? Binds the port for a moment unless it listens already.
   * @returns what is in the way
   */
  probe(): Promise<DnsUnavailableError | undefined> {
    return this.#inTurn(async () => {
      if (this.#listener || this.#closed) return undefined;
      try {
        const listener = await this.#open(this.listen);
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
      const listeners = [...this.#gateways.values()];
      if (this.#listener) listeners.push(this.#listener);
      this.#listener = undefined;
      this.#gateways.clear();
      await Promise.all(listeners.map((listener) => listener.close()));
    });
  }

  async #ensureListening(): Promise<void> {
    try {
      await this.#inTurn(async () => {
        if (this.#listener) return;
        this.#throwIfClosed();
        this.#listener = await this.#open(this.listen);
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
      if (this.names.isEmpty) return;
      this.#ensureListening().catch((error: unknown) => {
        this.#options.logger.debug("DNS server still cannot listen", { error });
      });
    }, this.#options.retryMs ?? 10_000);
    // Waiting for a port is no reason for the daemon to live.
    this.#retry.unref();
  }

  #open(endpoint: Endpoint): Promise<Listener> {
    const { logger, limits } = this.#options;
    return openListeners(
      endpoint,
      (message, client) => this.#answering.answer(message, client),
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
}
