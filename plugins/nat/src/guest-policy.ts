import {
  abortAfter,
  type EgressInForce,
  type EgressPolicy,
  type GuestEgress,
  type Privileged,
  type Refusal,
  type ResolvedName,
  type VmId,
  type VmRecord,
} from "@banger/core";
import type { AllowList } from "./allow-list.js";
import { Permits } from "./permits.js";
import { permitAddresses, readRefusals } from "./privileged.js";
import { protocolOf } from "./protocol-names.js";
import { RefusedNames } from "./refused-names.js";
import { mostAddresses, mostPairs } from "./root/guest.js";
import type { RecordedRefusal } from "./root/recorded-refusal.js";

/** Longest that a guest waits for its answer because of us, ms. */
const permitLimitMs = 10_000;

interface Guest {
  readonly id: VmId;
  readonly open: boolean;
  readonly permits: Permits;
}

/** What guests on a bridge may reach. Knows those that run; the kernel has the rules. */
export class GuestPolicy implements EgressPolicy {
  readonly #allow: AllowList | undefined;
  readonly #privileged: Privileged;
  readonly #guestEgress: GuestEgress;
  readonly #guests = new Map<string, Guest>();
  readonly #names = new RefusedNames();

  /** @param deps.allow everything when absent */
  constructor(deps: {
    readonly allow: AllowList | undefined;
    readonly privileged: Privileged;
    readonly guestEgress: GuestEgress;
  }) {
    this.#allow = deps.allow;
    this.#privileged = deps.privileged;
    this.#guestEgress = deps.guestEgress;
  }

  /** From now on this guest's names are decided. What had been opened for it is opened anew. */
  admit({ id, spec, runtime }: VmRecord): void {
    const guest = { id, open: spec.nat, permits: new Permits() };
    this.#guests.set(runtime.guestIp, guest);
  }

  forget({ runtime }: VmRecord): void {
    this.#guests.delete(runtime.guestIp);
    this.#names.forget(runtime.guestIp);
    // The address will be another VM's.
    this.#guestEgress.forget(runtime.guestIp);
  }

  mayResolve(guestIp: string, name: string): boolean {
    const guest = this.#guests.get(guestIp);
    if (!guest) return false;
    const may =
      guest.open &&
      (this.#allow === undefined || this.#allow.openingOf(name) !== undefined);
    if (!may) this.#names.note(guestIp, name);
    return may;
  }

  async resolved(answer: ResolvedName): Promise<void> {
    const { guestIp, name, ttlSeconds } = answer;
    const guest = this.#guests.get(guestIp);
    const opening = this.#allow?.openingOf(name);
    if (!guest?.open || !opening) return;
    const { id, permits } = guest;
    const { whole, services } = opening;
    const what = whole ? "*" : JSON.stringify(services);
    const addresses = permits
      .missing(what, answer.addresses, ttlSeconds)
      .slice(0, Math.min(mostAddresses, mostPairs / services.length));
    if (addresses.length === 0) return;
    const seconds = Permits.secondsFor(ttlSeconds);
    // What fails is for whoever answers to say: the guest could not use the addresses.
    await this.#privileged.request(
      permitAddresses,
      {
        ...{ id, seconds, whole },
        addresses: [...addresses],
        services: [...services],
      },
      abortAfter(permitLimitMs),
    );
    permits.opened(what, addresses, seconds);
  }

  inForce({ spec, runtime }: VmRecord): EgressInForce {
    const recorded = runtime.networkMode === "bridge";
    if (!spec.nat) return { kind: "closed", recorded };
    return this.#allow
      ? { kind: "listed", allow: this.#allow.texts, recorded }
      : { kind: "open", recorded };
  }

  async refusals(
    { id, runtime }: VmRecord,
    signal: AbortSignal,
  ): Promise<readonly Refusal[]> {
    if (runtime.networkMode !== "bridge") return [];
    const { guestIp } = runtime;
    const now = Date.now();
    const { refusals } = await this.#privileged.request(
      readRefusals,
      { id },
      signal,
    );
    const packets = refusals.map((one) => this.#refusal(guestIp, one, now));
    return [...this.#names.of(guestIp), ...packets].sort((a, b) =>
      a.at < b.at ? 1 : a.at > b.at ? -1 : 0,
    );
  }

  #refusal(
    guestIp: string,
    { address, protocol, port, packets, ageSeconds }: RecordedRefusal,
    now: number,
  ): Refusal {
    const name = this.#guestEgress.nameOf(guestIp, address);
    return {
      at: new Date(now - ageSeconds * 1000).toISOString(),
      protocol: protocolOf(protocol),
      address,
      ...(port === undefined ? {} : { port }),
      ...(name === undefined ? {} : { name }),
      count: packets,
    };
  }
}
