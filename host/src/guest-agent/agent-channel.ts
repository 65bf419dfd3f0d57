import type { Duplex } from "node:stream";
import { CancelledError } from "@banger/core";
import { AgentConnectionError, AgentProtocolError } from "./agent-errors.js";
import { AgentFrames, type AgentFrame } from "./agent-frames.js";
import type { AgentLimits } from "./agent-limits.js";

/** Returns the wanted value, or `undefined` to wait for the next line; a throw ends the wait. */
export type FrameReader<T> = (frame: AgentFrame) => T | undefined;

interface Waiter {
  readonly read: (frame: AgentFrame) => boolean;
  readonly fail: (error: unknown) => void;
}

/** One open transport to an agent. At most one caller waits for an answer at a time. */
export class AgentChannel {
  readonly #transport: Duplex;
  readonly #frames: AgentFrames;
  readonly #limits: AgentLimits;
  #waiter: Waiter | undefined;
  #skippedBytes = 0;
  #closed = false;

  constructor(transport: Duplex, limits: AgentLimits) {
    this.#transport = transport;
    this.#limits = limits;
    this.#frames = new AgentFrames(limits.maxReplyBytes);
    transport.on("data", (chunk: Buffer) => this.#receive(chunk));
    transport.on("error", (cause) => this.#fail("the connection broke", cause));
    transport.on("end", () => this.#fail("the connection was closed"));
    transport.on("close", () => this.#fail("the connection was closed"));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Everything up to the next answer to `guest-sync-delimited` is skipped. */
  resync(): void {
    this.#frames.resync();
  }

  /**
   * Hands bytes to the transport.
   * @throws {@link AgentConnectionError} when it is closed
   */
  write(bytes: Uint8Array): void {
    if (this.#transport.writableLength > this.#limits.maxUnaskedBytes)
      this.#fail("the guest reads nothing");
    if (this.#closed) throw new AgentConnectionError("it is not connected");
    this.#transport.write(bytes);
  }

  /**
   * Waits for the line that `read` accepts.
   * @throws {@link AgentConnectionError}, {@link AgentProtocolError}, CancelledError after `signal`, or what `read` throws
   */
  next<T>(read: FrameReader<T>, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#waiter) throw new Error("two callers wait for the agent");
      const settle = (): void => {
        this.#waiter = undefined;
        signal.removeEventListener("abort", onAbort);
      };
      const fail = (error: unknown): void => {
        settle();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- whatever `read` threw
        reject(error);
      };
      const onAbort = (): void =>
        fail(new CancelledError("waiting for the guest agent", signal.reason));
      if (this.#closed) {
        fail(new AgentConnectionError("it is not connected"));
        return;
      }
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener("abort", onAbort);
      this.#skippedBytes = 0;
      this.#waiter = {
        fail,
        read: (frame) => {
          const value = read(frame);
          if (value === undefined) return false;
          settle();
          resolve(value);
          return true;
        },
      };
    });
  }

  /** Idempotent. A caller that waits gets an {@link AgentConnectionError}. */
  close(): void {
    this.#fail("the connection was closed");
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    this.#skippedBytes += chunk.length;
    const frames = this.#frames.push(chunk);
    for (;;) {
      let frame: AgentFrame | undefined;
      try {
        frame = frames.next().value ?? undefined;
        if (!frame) break;
        if (this.#waiter?.read(frame)) this.#skippedBytes = 0;
      } catch (error) {
        if (!this.#waiter) break;
        this.#waiter.fail(error);
      }
    }
    const { maxSkippedBytes, maxUnaskedBytes } = this.#limits;
    const allowed = this.#waiter ? maxSkippedBytes : maxUnaskedBytes;
    if (this.#skippedBytes > allowed) {
      const flood = new AgentProtocolError(
        `the guest sent more than ${allowed} bytes that answer nothing`,
      );
      this.#waiter?.fail(flood);
      this.#fail("the guest flooded the connection", flood);
    }
  }

  #fail(what: string, cause?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#transport.destroy();
    this.#waiter?.fail(new AgentConnectionError(what, { cause }));
  }
}
