import { Duplex, type Writable } from "node:stream";
import { GuestConnectionError } from "@banger/core";
import type { ClientChannel } from "ssh2";
import { inputStream } from "./channel-streams.js";
import { SessionWindow } from "./session-window.js";
import type { SshConnection } from "./ssh-connection.js";

/**
 * A connection to a port of the guest as a socket: each side may end its half first. A lost SSH connection destroys it with an
 * error and never looks like an end of the guest's bytes. Must be made in the tick in which the channel was opened; it may be lost
 * in that tick too, so whoever gets it looks at `destroyed` first.
 */
export class PortStream extends Duplex {
  readonly #channel: ClientChannel;
  readonly #input: Writable;
  /** the guest has closed both halves: what is still written is dropped, as nobody is left to take it */
  #isClosed = false;

  constructor(
    channel: ClientChannel,
    connection: SshConnection,
    vmName: string,
  ) {
    super({ allowHalfOpen: true });
    this.#channel = channel;
    // It can be lost before its owner has it, and an error without a listener would end the daemon.
    this.on("error", () => undefined);
    // A guest that breaks the protocol loses its connection, and with it every channel.
    const window = new SessionWindow(channel, (what) =>
      connection.destroy(new Error(what)),
    );
    this.#input = inputStream(channel, connection);
    // Its errors reach the callback of the write that failed.
    this.#input.on("error", () => undefined);
    const lost = (): boolean => {
      if (!connection.closed) return false;
      const what = "the connection to a port was lost";
      this.destroy(new GuestConnectionError(vmName, what, connection.reason));
      return true;
    };
    channel.on("data", (chunk: Buffer) => {
      window.take(chunk.length);
      // Paused for nobody it would never close, and never give its place back.
      if (!this.destroyed && !this.push(chunk)) channel.pause();
    });
    channel.on("end", () => {
      if (!lost()) this.push(null);
    });
    channel.on("close", () => {
      if (lost()) return;
      this.#isClosed = true;
      this.#input.destroy();
      // The reader first gets what came before.
      if (this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
    });
    channel.on("error", () => undefined);
    channel.stderr.on("data", (chunk: Buffer) => window.take(chunk.length));
    channel.stderr.on("error", () => undefined);
  }

  override _read(): void {
    this.#channel.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    if (this.#isClosed) callback();
    else
      this.#input.write(chunk, (error) =>
        callback(this.#isClosed ? null : error),
      );
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#isClosed) callback();
    else this.#input.end(() => callback());
  }

  override _destroy(
    error: Error | null,
    callback: (error?: Error | null) => void,
  ): void {
    this.#input.destroy();
    this.#channel.close();
    this.#channel.resume();
    callback(error);
  }
}
