/** Does one piece of work for all who ask for it at the same time. Nobody gets an answer that is older than the question. */
export class SharedScan<T> {
  readonly #scan: () => Promise<T>;
  /** of the scan that has begun last */
  #ended: Promise<unknown> = Promise.resolve();
  /** the scan that has not begun yet */
  #next: Promise<T> | undefined;

  constructor(scan: () => Promise<T>) {
    this.#scan = scan;
  }

  ask(): Promise<T> {
    if (this.#next) return this.#next;
    const next = this.#ended.then(() => {
      this.#next = undefined;
      return this.#scan();
    });
    this.#next = next;
    this.#ended = next.catch(() => undefined);
    return next;
  }
}
