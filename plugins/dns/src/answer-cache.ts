import { lifetimeOf, type UpstreamAnswer } from "./upstream-message.js";

/** Limits of what is remembered. */
export interface CacheLimits {
  readonly entries: number;
  readonly bytes: number;
}

const cacheLimits: CacheLimits = {
  entries: 4_096,
  bytes: 4 * 1024 * 1024,
};

interface Entry {
  readonly answer: UpstreamAnswer;
  readonly bytes: number;
  /** seconds of the clock */
  readonly storedAt: number;
  readonly expiresAt: number;
}

/** About what an entry and each of its records take beside their bytes. */
const overheadBytes = 200;

/** What upstreams have answered, for as long as it may be remembered; the one used least recently goes first. */
export class AnswerCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: CacheLimits;
  readonly #now: () => number;
  #bytes = 0;

  /** @param now seconds; grows evenly, whatever the time of day does */
  constructor(limits: CacheLimits = cacheLimits, now = monotonicSeconds) {
    this.#limits = limits;
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Bytes that the entries take, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The answer with what is left of its records' time. */
  find(key: string): UpstreamAnswer | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const now = this.#now();
    this.#entries.delete(key);
    if (now >= entry.expiresAt) {
      this.#bytes -= entry.bytes;
      return undefined;
    }
    // Behind all others: a map keeps the order in which its keys came.
    this.#entries.set(key, entry);
    return aged(entry.answer, Math.floor(now - entry.storedAt));
  }

  /** Remembers it, unless that is not allowed. */
  store(key: string, answer: UpstreamAnswer): void {
    const lifetime = lifetimeOf(answer);
    const bytes = sizeOf(key, answer);
    this.#remove(key);
    if (lifetime <= 0 || bytes > this.#limits.bytes) return;
    const storedAt = this.#now();
    const expiresAt = storedAt + lifetime;
    this.#entries.set(key, { answer, bytes, storedAt, expiresAt });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      const { entries, bytes: mostBytes } = this.#limits;
      if (this.#entries.size <= entries && this.#bytes <= mostBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }
}

function monotonicSeconds(): number {
  return performance.now() / 1000;
}

function sizeOf(key: string, { answers, authorities }: UpstreamAnswer): number {
  return [...answers, ...authorities].reduce(
    (sum, { owner, data }) => sum + owner.length + data.length + overheadBytes,
    key.length + overheadBytes,
  );
}

function aged(answer: UpstreamAnswer, seconds: number): UpstreamAnswer {
  if (seconds === 0) return answer;
  const age = (records: UpstreamAnswer["answers"]): UpstreamAnswer["answers"] =>
    records.map((record) => ({
      ...record,
      ttlSeconds: Math.max(0, record.ttlSeconds - seconds),
    }));
  return {
    ...answer,
    answers: age(answer.answers),
    authorities: age(answer.authorities),
  };
}
