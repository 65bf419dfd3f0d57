import type { Refusal } from "@banger/core";

/** Most names remembered for one guest: it may ask for any number. */
const mostNames = 256;

interface Asked {
  readonly at: Date;
  readonly count: number;
}

/** The names that guests were refused, those asked for last. In memory. */
export class RefusedNames {
  /** guest -> name, the one asked for last at the end */
  readonly #guests = new Map<string, Map<string, Asked>>();

  note(guestIp: string, name: string, at = new Date()): void {
    const names = this.#guests.get(guestIp) ?? new Map<string, Asked>();
    this.#guests.set(guestIp, names);
    const count = (names.get(name)?.count ?? 0) + 1;
    names.delete(name);
    names.set(name, { at, count });
    const [oldest] = names.keys();
    if (names.size > mostNames && oldest !== undefined) names.delete(oldest);
  }

  of(guestIp: string): readonly Refusal[] {
    return [...(this.#guests.get(guestIp) ?? [])].map(
      ([name, { at, count }]) => ({
        at: at.toISOString(),
        protocol: "dns",
        name,
        count,
      }),
    );
  }

  forget(guestIp: string): void {
    this.#guests.delete(guestIp);
  }
}
