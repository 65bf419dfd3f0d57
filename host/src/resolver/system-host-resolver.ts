import { lookup } from "node:dns/promises";
import {
  abortAfter,
  settledOrAborted,
  withAnySignal,
  type HostResolver,
} from "@banger/core";

/** How long an answer is waited for, ms. */
const limitMs = 300;
/** How long it is remembered, ms: as long as the names of VMs are by default. */
const rememberMs = 5_000;

/** The IPv4 addresses of a name. */
type LookUp = (name: string) => Promise<readonly string[]>;

/**
 * Asks the C library, as most programs do. A lookup cannot be ended and keeps one of node's few threads, which files need too: there is
 * one at a time, and a resolver that hangs holds up nobody but itself.
 */
export class SystemHostResolver implements HostResolver {
  readonly #lookUp: LookUp;
  /** by name; those under way and those that are remembered */
  readonly #answers = new Map<string, Promise<readonly string[]>>();
  /** Settles when no lookup is under way; never rejects. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(lookUp: LookUp = lookUpAddresses) {
    this.#lookUp = lookUp;
  }

  async resolves(
    name: string,
    address: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    let found: readonly string[] = [];
    const answer = this.#ask(name).then((addresses) => {
      found = addresses;
    });
    await withAnySignal([abortAfter(limitMs), signal], (either) =>
      settledOrAborted(answer, either),
    );
    return found.length > 0 && found.every((one) => one === address);
  }

  #ask(name: string): Promise<readonly string[]> {
    const known = this.#answers.get(name);
    if (known) return known;
    const answer = this.#turn
      .then(() => this.#lookUp(name))
      .catch((): readonly string[] => []);
    this.#answers.set(name, answer);
    this.#turn = answer;
    void answer.then(() =>
      setTimeout(() => this.#answers.delete(name), rememberMs).unref(),
    );
    return answer;
  }
}

async function lookUpAddresses(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true, family: 4 });
  return found.map(({ address }) => address);
}
