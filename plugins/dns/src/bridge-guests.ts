import {
  abortAfter,
  describeError,
  isBangerError,
  KeyedLock,
  type Endpoint,
  type Logger,
  type Network,
  type Privileged,
  type VmId,
  type VmRecord,
} from "@banger/core";
import type { Guests } from "./guests.js";
import {
  routeRequest,
  showRouteRequest,
  unrouteRequest,
} from "./privileged.js";
import type { Redirect } from "./redirect-rules.js";
import type { DnsServer } from "./server.js";

/** Longest wait for root when the daemon ends, ms. */
const closeMs = 5_000;
/** Wait before the next attempt at a port that was taken, ms. */
const retryMs = 10_000;

interface Bridge {
  readonly gateway: string;
  readonly vms: Map<VmId, { readonly ip: string; readonly cidr: string }>;
  /** where guests are answered; absent while nobody listens */
  endpoint?: Endpoint;
}

/** A bridge that guests ask from, and whether their questions arrive. */
export interface BridgeState {
  readonly bridge: string;
  readonly listening: boolean;
  readonly redirected: boolean;
  /** why the rules could not be looked at; nothing is known of `redirected` then */
  readonly problem?: { readonly message: string; readonly hint?: string };
}

/**
 * The guests on bridges: who of them may ask, and how their questions get here. Without root, and for VMs without a bridge, there is nothing
 * to do.
 */
export class BridgeGuests {
  readonly #server: Pick<DnsServer, "listenAt" | "names" | "listen">;
  readonly #guests: Guests;
  readonly #network: Network;
  readonly #privileged: Privileged;
  readonly #logger: Logger;
  readonly #bridges = new Map<string, Bridge>();
  readonly #lock = new KeyedLock();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: {
    readonly server: Pick<DnsServer, "listenAt" | "names" | "listen">;
    readonly guests: Guests;
    readonly network: Network;
    readonly privileged: Privileged;
    readonly logger: Logger;
  }) {
    this.#server = options.server;
    this.#guests = options.guests;
    this.#network = options.network;
    this.#privileged = options.privileged;
    this.#logger = options.logger;
  }

  /** Whom the VM's guest asks: the host's address on its bridge; `undefined` for VMs that we do not answer. Pure. */
  nameserverOf(vm: VmRecord): string | undefined {
    return this.#bridgeOf(vm) === undefined
      ? undefined
      : this.#network.guestNetwork(vm).gateway;
  }

  /**
   * Answers this VM's guest from now on. Idempotent; the first time for a VM it puts back rules that another program has flushed.
   * @throws DnsPortBusyError, DnsListenError: tried again now and then; what {@link routeRequest} throws
   */
  async serve(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const name = this.#bridgeOf(vm);
    if (name === undefined) return;
    const { gateway, address: cidr } = this.#network.guestNetwork(vm);
    const { guestIp: ip } = vm.runtime;
    await this.#lock.run(name, signal, async () => {
      const bridge: Bridge = this.#bridges.get(name) ?? {
        gateway,
        vms: new Map(),
      };
      // Prepared a moment ago: what is asked of root costs time.
      if (bridge.vms.has(vm.id) && bridge.endpoint) return;
      this.#bridges.set(name, bridge);
      bridge.vms.set(vm.id, { ip, cidr });
      this.#guests.admit(ip);
      this.#cover();
      await this.#open(name, bridge, signal);
    });
  }

  /** Ends that. Idempotent, from the record alone; the last one on a bridge takes the rules away. */
  async dismiss(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const name = this.#bridgeOf(vm);
    if (name === undefined) return;
    await this.#lock.run(name, signal, async () => {
      const bridge = this.#bridges.get(name);
      bridge?.vms.delete(vm.id);
      this.#guests.dismiss(vm.runtime.guestIp);
      if (bridge && bridge.vms.size > 0) return;
      this.#bridges.delete(name);
      this.#cover();
      await this.#privileged.request(unrouteRequest, { bridge: name }, signal);
    });
  }

  /** Reads only. */
  async states(signal: AbortSignal): Promise<readonly BridgeState[]> {
    const states: BridgeState[] = [];
    for (const [bridge, { gateway, endpoint }] of this.#bridges) {
      if (endpoint === undefined) {
        states.push({ bridge, listening: false, redirected: false });
        continue;
      }
      const route = { bridge, gateway, port: endpoint.port };
      const seen = await this.#look(route, signal);
      states.push({ bridge, listening: true, ...seen });
    }
    return states;
  }

  async #look(
    route: Redirect,
    signal: AbortSignal,
  ): Promise<Pick<BridgeState, "redirected" | "problem">> {
    try {
      return await this.#privileged.request(showRouteRequest, route, signal);
    } catch (error) {
      if (!isBangerError(error)) throw error;
      this.#logger.warn("Rules for guests' questions cannot be read", {
        error,
      });
      const { message, hint } = error;
      return {
        redirected: false,
        problem: { message, ...(hint === undefined ? {} : { hint }) },
      };
    }
  }

  /** Guests outlive the daemon; a route to nobody would only cost them and the host time. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const signal = abortAfter(closeMs);
    for (const bridge of this.#bridges.keys()) {
      try {
        await this.#lock.run(bridge, signal, () =>
          this.#privileged.request(unrouteRequest, { bridge }, signal),
        );
      } catch (error) {
        this.#logger.warn("Route to the DNS server is not removed", {
          bridge,
          problem: describeError(error),
        });
      }
    }
    this.#bridges.clear();
  }

  async #open(
    name: string,
    bridge: Bridge,
    signal: AbortSignal,
  ): Promise<void> {
    delete bridge.endpoint;
    this.#retryLater();
    // First: nobody's questions are to be led to another program.
    const endpoint = await this.#server.listenAt(bridge.gateway);
    const route = {
      bridge: name,
      gateway: bridge.gateway,
      port: endpoint.port,
    };
    const { resolver } = await this.#privileged.request(
      routeRequest,
      route,
      signal,
    );
    bridge.endpoint = endpoint;
    this.#logger.debug("Guests' questions are led here", {
      ...route,
      resolver,
    });
  }

  /** The program that has the port may end. */
  #retryLater(): void {
    clearTimeout(this.#retry);
    if (this.#closed) return;
    this.#retry = setTimeout(() => {
      void this.#openAll();
    }, retryMs);
    this.#retry.unref();
  }

  async #openAll(): Promise<void> {
    const signal = abortAfter(60_000);
    for (const [name, bridge] of this.#bridges) {
      if (bridge.endpoint || this.#closed) continue;
      try {
        await this.#lock.run(name, signal, async () => {
          if (this.#bridges.get(name) === bridge && !bridge.endpoint)
            await this.#open(name, bridge, signal);
        });
      } catch (error) {
        const problem = describeError(error);
        this.#logger.debug("Guests still cannot ask", { name, problem });
      }
    }
  }

  #bridgeOf(vm: VmRecord): string | undefined {
    return this.#privileged.kind === "none"
      ? undefined
      : this.#network.bridge(vm);
  }

  #cover(): void {
    const cidrs = [...this.#bridges.values()].flatMap(({ vms }) =>
      [...vms.values()].map(({ cidr }) => cidr),
    );
    this.#server.names.cover(cidrs);
  }
}
