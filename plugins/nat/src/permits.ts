import { longestPermitSeconds } from "./root/guest.js";

/** Shortest time that an address stays open, seconds: a guest resolves first and connects then. */
const shortestSeconds = 60;
/** Between the end of an answer and its last use, seconds. */
const graceSeconds = 30;
/** Most addresses whose time is remembered for one guest; what is forgotten is opened again, as with a new daemon. */
const mostRemembered = 16_384;

/** Until when addresses are open for one guest, so that neither is it asked for twice nor cut short by a shorter answer. */
export class Permits {
  /** what was opened, with the address -> end, ms since the epoch */
  readonly #ends = new Map<string, number>();

  /** How long an answer opens its addresses, seconds. Pure. */
  static secondsFor(ttlSeconds: number): number {
    const wanted = Math.max(shortestSeconds, ttlSeconds + graceSeconds);
    return Math.min(longestPermitSeconds, Math.ceil(wanted));
  }

  /** Those that are not open as long as the answer may be used. @param what tells what is opened at the addresses */
  missing(
    what: string,
    addresses: readonly string[],
    ttlSeconds: number,
    now = Date.now(),
  ): readonly string[] {
    const most = longestPermitSeconds - graceSeconds;
    // A second more: the kernel's clock and this one tick apart.
    const needed = now + (Math.min(ttlSeconds, most) + 1) * 1000;
    return addresses.filter(
      (address) => (this.#ends.get(`${what} ${address}`) ?? 0) < needed,
    );
  }

  opened(
    what: string,
    addresses: readonly string[],
    seconds: number,
    now = Date.now(),
  ): void {
    for (const address of addresses) {
      const key = `${what} ${address}`;
      this.#ends.delete(key);
      this.#ends.set(key, now + seconds * 1000);
    }
    for (const key of this.#ends.keys()) {
      if (this.#ends.size <= mostRemembered) break;
      this.#ends.delete(key);
    }
  }
}
