import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import {
  CancelledError,
  GuestConnectionError,
  throwIfCancelled,
  type Terminal,
} from "@banger/core";
import type {
  Client,
  ClientChannel,
  ExecOptions,
  PseudoTtyOptions,
} from "ssh2";
import { PortStream } from "./port-stream.js";
import { SessionGate } from "./session-gate.js";
import type { SshLimits } from "./ssh-limits.js";

/** The guest opened no session; the command was never sent. */
export class SessionNotOpenedError extends GuestConnectionError {}

/** Nothing in the guest takes a connection at that address. */
export class PortRefusedError extends GuestConnectionError {}

export interface SessionRequest<T> {
  readonly line: string;
  readonly terminal?: Terminal | undefined;
  /** passes by the bound on sessions, for ending others */
  readonly urgent?: boolean;
  /** called in the same tick as the guest's answer: exit and output may sit in the same packet */
  readonly attach: (channel: ClientChannel) => T;
  /** called with what `attach` made when the caller had left before the guest answered */
  readonly abandon: (attached: T) => void;
}

/**
 * One terminal mode, IUTF8 = 1: without it the guest's line editing deletes half a character. ssh2 has no name for it and takes bytes.
 * @see RFC 8160, and RFC 4254 §8 for the encoding
 */
const utf8Mode = Buffer.from([42, 0, 0, 0, 1, 0]) as unknown as NonNullable<
  PseudoTtyOptions["modes"]
>;

/** One authenticated connection to a guest. */
export class SshConnection {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #vmName: string;
  readonly #limits: SshLimits;
  readonly #gate: SessionGate;
  readonly #portGate: SessionGate;
  #closed = false;
  #reason: Error | undefined;

  constructor(
    client: Client,
    socket: Socket,
    vmName: string,
    limits: SshLimits,
  ) {
    this.#client = client;
    this.#socket = socket;
    this.#vmName = vmName;
    this.#limits = limits;
    this.#gate = new SessionGate(limits.maxSessions);
    this.#portGate = new SessionGate(limits.maxPorts);
    // Permanent: a client can emit several errors, and one without a listener would end the daemon.
    client.on("error", (error) => (this.#reason ??= error));
    client.on("close", () => (this.#closed = true));
    socket.on("close", () => (this.#closed = true));
    // One listener for each stdin that waits.
    socket.setMaxListeners(0);
  }

  get closed(): boolean {
    // A broken socket emits `close` only in a later tick.
    return this.#closed || !this.#socket.writable;
  }

  /** Why it ended, when somebody knows. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /**
   * Starts a session. Waits for a place when too many are open, also when the guest has a lower bound than we know of.
   * @throws {@link SessionNotOpenedError} when the command cannot have run, GuestConnectionError, CancelledError
   */
  async open<T>(request: SessionRequest<T>, signal: AbortSignal): Promise<T> {
    for (let refusals = 0; ;) {
      const release =
        request.urgent === true
          ? () => undefined
          : await this.#gate.enter(signal);
      try {
        return await this.#request(request, release, signal);
      } catch (error) {
        release();
        if (!isRefusal(error)) throw error;
        refusals = this.#gate.active > 0 ? 0 : refusals + 1;
        if (request.urgent === true || refusals > this.#limits.sessionRefusals)
          throw error;
      }
      await pause(this.#limits.sessionRetryMs, undefined, { signal }).catch(
        (cause: unknown) => {
          throw new CancelledError("a guest command", cause);
        },
      );
    }
  }

  /**
   * A connection from inside the guest to one of its own addresses. Waits for a place when too many are open.
   * @throws {@link PortRefusedError} when the guest refuses it, {@link SessionNotOpenedError} when it was lost, CancelledError
   */
  async openPort(
    address: string,
    port: number,
    signal: AbortSignal,
  ): Promise<PortStream> {
    const release = await this.#portGate.enter(signal);
    return new Promise<PortStream>((resolve, reject) => {
      const onAbort = (): void =>
        reject(new CancelledError("a connection to a port", signal.reason));
      const fail = (error: Error & { readonly reason?: unknown }): void => {
        signal.removeEventListener("abort", onAbort);
        release();
        const refused = typeof error.reason === "number" && !this.closed;
        const what = `nothing takes a connection to port ${port}`;
        reject(
          refused
            ? new PortRefusedError(this.#vmName, what, error)
            : this.#explain(error),
        );
      };
      // The types promise a channel even beside an error.
      const answered = (
        error: Error | undefined,
        channel: ClientChannel,
      ): void => {
        if (error) {
          fail(error);
          return;
        }
        signal.removeEventListener("abort", onAbort);
        channel.on("close", release);
        const stream = new PortStream(channel, this, this.#vmName);
        if (signal.aborted) stream.destroy();
        else resolve(stream);
      };
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      try {
        this.#client.forwardOut("127.0.0.1", 0, address, port, answered);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  /** Calls back when the socket has taken what was written, or has ended. */
  whenWritable(callback: () => void): void {
    if (this.closed || !this.#socket.writableNeedDrain) {
      callback();
      return;
    }
    const done = (): void => {
      this.#socket.off("drain", done);
      this.#socket.off("close", done);
      callback();
    };
    this.#socket.on("drain", done);
    this.#socket.on("close", done);
  }

  /** Ends it at once, with every process stream on it. Idempotent. */
  destroy(reason?: Error): void {
    this.#reason ??= reason;
    this.#closed = true;
    this.#socket.destroy();
  }

  #request<T>(
    request: SessionRequest<T>,
    release: () => void,
    signal: AbortSignal,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      throwIfCancelled(signal, "a guest command");
      const onAbort = (): void =>
        reject(new CancelledError("a guest command", signal.reason));
      signal.addEventListener("abort", onAbort);
      const { line, terminal, attach, abandon } = request;
      const options: ExecOptions = terminal
        ? {
            pty: {
              term: terminal.type,
              cols: terminal.columns,
              rows: terminal.rows,
              width: 0,
              height: 0,
              modes: utf8Mode,
            },
          }
        : {};
      try {
        // The types promise a channel even beside an error.
        const answered = (
          error: Error | undefined,
          channel: ClientChannel,
        ): void => {
          signal.removeEventListener("abort", onAbort);
          if (error) {
            reject(this.#explain(error));
            return;
          }
          channel.on("close", release);
          const attached = attach(channel);
          if (signal.aborted) abandon(attached);
          else resolve(attached);
        };
        this.#client.exec(line, options, answered);
      } catch (error) {
        signal.removeEventListener("abort", onAbort);
        reject(this.#explain(error as Error));
      }
    });
  }

  #explain(error: Error): Error {
    // Only this one says that the request with the command had left; every other comes before it.
    const kind =
      error.message === "Unable to exec"
        ? GuestConnectionError
        : SessionNotOpenedError;
    const what = this.closed
      ? "the connection was lost"
      : "the guest opened no session";
    return new kind(this.#vmName, what, this.#reason ?? error);
  }
}

/** Did the guest itself answer that it opens no further session? */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof SessionNotOpenedError &&
    error.cause instanceof Error &&
    typeof (error.cause as { reason?: unknown }).reason === "number"
  );
}
