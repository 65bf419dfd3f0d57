/** Lets so many pass a second, and so many at once after a while of none. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** @param now seconds; grows evenly */
  constructor(
    perSecond: number,
    burst: number,
    now: () => number = () => performance.now() / 1000,
  ) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#now = now;
    this.#tokens = burst;
    this.#filledAt = now();
  }

  /** Takes one; `false` when there is none. */
  take(): boolean {
    const now = this.#now();
    const filled = this.#tokens + (now - this.#filledAt) * this.#perSecond;
    this.#tokens = Math.min(filled, this.#burst);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
