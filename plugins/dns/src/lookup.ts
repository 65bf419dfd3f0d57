import type { Endpoint, Logger } from "@banger/core";
import type { AnswerCache } from "./answer-cache.js";
import type { Question } from "./query.js";
import { ask, type Exchange } from "./upstream-exchange.js";
import type { UpstreamAnswer } from "./upstream-message.js";
import { nameKey } from "./wire-name.js";

/** How long names may take, ms. */
export interface LookupLimits {
  /** one upstream, once */
  readonly attemptMs: number;
  /** all of it; a resolver in a guest asks again after 5 s (resolv.conf(5), timeout) */
  readonly overallMs: number;
}

const lookupLimits: LookupLimits = {
  attemptMs: 1_500,
  overallMs: 4_500,
};

/** How often an upstream is asked that does not answer. */
const mostRounds = 3;
/** Between two rounds, ms. */
const pauseMs = 200;
/** How long an upstream that did not answer is asked last, ms. */
const shunMs = 30_000;

/** Asks the upstreams, one after another, and remembers what they say. The same question asked by several at once is put once. */
export class Lookup {
  readonly #upstreams: { list(): Promise<readonly Endpoint[]> };
  readonly #cache: AnswerCache;
  readonly #logger: Logger;
  readonly #limits: LookupLimits;
  readonly #aborts = new AbortController();
  readonly #underWay = new Map<string, Promise<UpstreamAnswer | undefined>>();
  readonly #silentUntil = new Map<string, number>();

  constructor(options: {
    readonly upstreams: { list(): Promise<readonly Endpoint[]> };
    readonly cache: AnswerCache;
    readonly logger: Logger;
    readonly limits?: LookupLimits;
  }) {
    this.#upstreams = options.upstreams;
    this.#cache = options.cache;
    this.#logger = options.logger;
    this.#limits = options.limits ?? lookupLimits;
  }

  /** What is remembered. */
  remembered(question: Question): UpstreamAnswer | undefined {
    return this.#cache.find(keyOf(question));
  }

  /**
   * Asks. Never rejects.
   * @param mayBegin asked when nobody is asking the same already
   * @returns `undefined` when no upstream has answered in time
   */
  find(
    question: Question,
    mayBegin: () => boolean,
  ): Promise<UpstreamAnswer | undefined> {
    const key = keyOf(question);
    const same = this.#underWay.get(key);
    if (same) return same;
    if (!mayBegin()) return Promise.resolve(undefined);
    const answer = this.#ask(question)
      .then((found) => {
        if (found) this.#cache.store(key, found);
        return found;
      })
      .catch((error: unknown) => {
        this.#logger.error("Name cannot be looked up", { error });
        return undefined;
      })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, answer);
    return answer;
  }

  /** Ends what is under way, and all that is asked later. Idempotent. */
  close(): void {
    this.#aborts.abort();
  }

  async #ask(question: Question): Promise<UpstreamAnswer | undefined> {
    const { attemptMs, overallMs } = this.#limits;
    const { signal } = this.#aborts;
    const deadline = performance.now() + overallMs;
    let candidates = this.#inOrder(await this.#upstreams.list());
    for (let round = 1; candidates.length > 0 && round <= mostRounds; round++) {
      const silent: Endpoint[] = [];
      for (const upstream of candidates) {
        const left = deadline - performance.now();
        if (left <= 0 || signal.aborted) return undefined;
        const timeoutMs = Math.min(left, attemptMs);
        const exchange = await ask(upstream, question, { timeoutMs, signal });
        this.#note(upstream, exchange);
        if (exchange.kind === "answer") return exchange.answer;
        if (exchange.kind === "silence") silent.push(upstream);
      }
      // A packet may have been lost; who has answered would say the same again.
      candidates = silent;
      // Nobody may be there, which is known at once.
      if (silent.length > 0)
        await pause(Math.min(pauseMs, deadline - performance.now()), signal);
    }
    return undefined;
  }

  /** Those that answer first. */
  #inOrder(upstreams: readonly Endpoint[]): readonly Endpoint[] {
    const now = performance.now();
    const isSilent = (endpoint: Endpoint): boolean =>
      (this.#silentUntil.get(nameOf(endpoint)) ?? 0) > now;
    return [
      ...upstreams.filter((endpoint) => !isSilent(endpoint)),
      ...upstreams.filter(isSilent),
    ];
  }

  #note(upstream: Endpoint, { kind }: Exchange): void {
    const name = nameOf(upstream);
    if (kind !== "silence") this.#silentUntil.delete(name);
    else this.#silentUntil.set(name, performance.now() + shunMs);
    // Of lists that have changed since.
    for (const old of this.#silentUntil.keys()) {
      if (this.#silentUntil.size <= 16) break;
      this.#silentUntil.delete(old);
    }
  }
}

function keyOf({ wire }: Question): string {
  return nameKey(wire);
}

function nameOf({ host, port }: Endpoint): string {
  return `${host}:${String(port)}`;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || signal.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
