import { TokenBucket } from "./token-bucket.js";

/** What one guest, and all of them together, may have going on. */
export interface GuestLimits {
  /** questions of one guest that are being looked up */
  readonly perGuest: number;
  /** questions of all guests that are being looked up */
  readonly overall: number;
  /** questions of one guest that upstreams are asked, a second */
  readonly perSecond: number;
  /** how many of them may come at once */
  readonly burst: number;
}

export const guestLimits: GuestLimits = {
  perGuest: 32,
  overall: 256,
  perSecond: 100,
  burst: 400,
};

/** A guest that may ask for more than names of VMs. */
export class Guest {
  readonly ip: string;
  readonly upstream: TokenBucket;
  /** questions that are being looked up */
  asking = 0;

  constructor(ip: string, { perSecond, burst }: GuestLimits) {
    this.ip = ip;
    this.upstream = new TokenBucket(perSecond, burst);
  }
}

/** The guests on bridges of this host, by their addresses, which the network holds each of them to. */
export class Guests {
  readonly #guests = new Map<string, Guest>();
  readonly #limits: GuestLimits;

  constructor(limits: GuestLimits = guestLimits) {
    this.#limits = limits;
  }

  /** Idempotent. @param ip IPv4 address */
  admit(ip: string): void {
    if (!this.#guests.has(ip))
      this.#guests.set(ip, new Guest(ip, this.#limits));
  }

  /** Idempotent. */
  dismiss(ip: string): void {
    this.#guests.delete(ip);
  }

  find(ip: string): Guest | undefined {
    return this.#guests.get(ip);
  }

  /** May this guest have one more question looked up? */
  hasRoom(guest: Guest): boolean {
    if (guest.asking >= this.#limits.perGuest) return false;
    let all = 0;
    for (const { asking } of this.#guests.values()) all += asking;
    return all < this.#limits.overall;
  }
}
