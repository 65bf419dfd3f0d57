import { parseAllowEntry, type AllowedPort } from "./allow-entry.js";

/** What an allow list opens for a name's addresses. */
export interface NameOpening {
  /** every port of every protocol */
  readonly whole: boolean;
  readonly services: readonly {
    readonly protocol: "tcp" | "udp";
    readonly port: number;
  }[];
}

/** What guests with NAT may reach, when that is not everything. Immutable. */
export class AllowList {
  /** as the owner wrote them */
  readonly texts: readonly string[];
  /** entries that no name is needed for */
  readonly always: readonly (AllowedPort & { readonly to: string })[];
  readonly #names: readonly (AllowedPort & {
    readonly name: string;
    readonly below: boolean;
  })[];

  /** @throws InvalidValueError */
  constructor(texts: readonly string[]) {
    this.texts = texts;
    const entries = texts.map(parseAllowEntry);
    this.always = entries.flatMap((entry) => {
      if (entry.kind === "name") return [];
      const { kind: _kind, ...rest } = entry;
      return [rest];
    });
    this.#names = entries.flatMap((entry) =>
      entry.kind === "name" ? [entry] : [],
    );
  }

  get byName(): boolean {
    return this.#names.length > 0;
  }

  /**
   * What this name opens; `undefined` when it is not on the list. Pure.
   * @param name lower case, without the last dot
   */
  openingOf(name: string): NameOpening | undefined {
    const matching = this.#names.filter((entry) =>
      entry.below
        ? entry.name === "" || name.endsWith(`.${entry.name}`)
        : entry.name === name,
    );
    if (matching.length === 0) return undefined;
    const keys = new Map<string, NameOpening["services"][number]>();
    for (const { port, protocol } of matching)
      if (port !== undefined)
        for (const one of protocol ? [protocol] : (["tcp", "udp"] as const))
          keys.set(`${one} ${String(port)}`, { protocol: one, port });
    const whole = matching.some(({ port }) => port === undefined);
    return { whole, services: whole ? [] : [...keys.values()] };
  }
}
