import type {
  Endpoint,
  GuestEgress,
  Logger,
  Network,
  Privileged,
} from "@banger/core";
import { AnswerCache } from "./answer-cache.js";
import { BridgeGuests } from "./bridge-guests.js";
import { Forwarder } from "./forwarder.js";
import { Guests } from "./guests.js";
import { Lookup } from "./lookup.js";
import { DnsServer } from "./server.js";
import { leadsTo, Upstreams } from "./upstreams.js";

/** The DNS of this daemon: server, guests, and whom their other questions go to. The constructor does no I/O. */
export class DnsService {
  readonly server: DnsServer;
  readonly bridges: BridgeGuests;
  readonly upstreams: Upstreams;
  readonly #lookup: Lookup;

  /** @param upstreams when empty, the host's own */
  constructor(options: {
    readonly listen: Endpoint;
    readonly ttlSeconds: number;
    readonly upstreams: readonly Endpoint[];
    readonly network: Network;
    readonly guestEgress: GuestEgress;
    readonly privileged: Privileged;
    readonly logger: Logger;
  }) {
    const { listen, ttlSeconds, network, privileged, logger } = options;
    const guests = new Guests();
    this.upstreams = new Upstreams({
      configured: options.upstreams,
      isOurs: (upstream) =>
        this.server.endpoints.some((own) => leadsTo(upstream, own)),
    });
    const { upstreams } = this;
    const cache = new AnswerCache();
    this.#lookup = new Lookup({ upstreams, cache, logger });
    const forwarder = new Forwarder({
      guests,
      lookup: this.#lookup,
      egress: options.guestEgress,
      logger,
    });
    this.server = new DnsServer({ listen, ttlSeconds, logger, forwarder });
    const { server } = this;
    this.bridges = new BridgeGuests({
      server,
      guests,
      network,
      privileged,
      logger,
    });
  }

  /** Stops for good: no socket and no route is left. Idempotent. */
  async close(): Promise<void> {
    await this.bridges.close();
    this.#lookup.close();
    await this.server.close();
  }
}
