import { Interruption } from "../io.js";

export interface DepartureOptions {
  /** what the user wants: its abort ends the reading of the operation */
  readonly wish: AbortSignal | undefined;
  /** asks the daemon to cancel the operation; it ends when it has cleaned up */
  readonly cancel: (
    operationId: string,
    connection: AbortSignal,
  ) => Promise<unknown>;
  /** how long the daemon may take to clean up, ms */
  readonly limitMs: number;
}

/**
 * How the client of an operation leaves. Before the operation has an id, an interruption closes the connection, which cancels what it
 * began. Afterwards it asks for the cancellation and lets the connection stand until the daemon has cleaned up, so that whoever tries
 * again at once finds nothing in the way. When that takes too long or cannot be asked for, or nobody is there to wait, it closes the connection.
 */
export class Departure {
  readonly #options: DepartureOptions;
  readonly #connection = new AbortController();
  #operation:
    { readonly id: string; readonly onCancel: () => void } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DepartureOptions) {
    this.#options = options;
    const { wish } = options;
    wish?.addEventListener("abort", this.#onWish);
    if (wish?.aborted) this.#onWish();
  }

  /** Aborts when the connection is to be closed. */
  get connection(): AbortSignal {
    return this.#connection.signal;
  }

  /** From now on an interruption is a cancellation. @param onCancel called when it is asked for */
  begun(id: string, onCancel: () => void): void {
    this.#operation = { id, onCancel };
  }

  /** The operation has ended. */
  end(): void {
    this.#options.wish?.removeEventListener("abort", this.#onWish);
    clearTimeout(this.#timer);
  }

  readonly #onWish = (): void => {
    const { wish, cancel, limitMs } = this.#options;
    const reason: unknown = wish?.reason;
    const isHeard = !(reason instanceof Interruption) || reason.isHeard;
    if (!this.#operation || !isHeard) {
      this.#leave();
      return;
    }
    const { id, onCancel } = this.#operation;
    this.#timer = setTimeout(this.#leave, limitMs);
    onCancel();
    cancel(id, this.connection).catch(this.#leave);
  };

  readonly #leave = (): void => {
    this.#connection.abort(this.#options.wish?.reason);
  };
}
