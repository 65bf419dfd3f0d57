import { Readable, type Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import {
  GuestConnectionError,
  type GuestExit,
  type GuestProcess,
  type TerminalSize,
} from "@banger/core";
import type { ClientChannel } from "ssh2";
import { inputStream, OutputStream } from "./channel-streams.js";
import { readExit } from "./exit-status.js";
import { PidLine } from "./pid-line.js";
import { SessionWindow } from "./session-window.js";
import type { SshConnection } from "./ssh-connection.js";
import type { SshLimits } from "./ssh-limits.js";

export interface ChannelProcessOptions {
  readonly connection: SshConnection;
  readonly vmName: string;
  /** stands before the process id in the first line of stderr, or of the terminal */
  readonly token: string;
  readonly hasTerminal: boolean;
  readonly limits: Pick<SshLimits, "pidWaitMs" | "closeWaitMs">;
  /** ends a process group in the guest; resolves when it is gone */
  readonly killGroup: (processGroup: number) => Promise<void>;
}

/** A guest process behind an SSH session. Must be made in the tick in which the session was opened. */
export class ChannelProcess implements GuestProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exit: Promise<GuestExit>;
  readonly #channel: ClientChannel;
  readonly #options: ChannelProcessOptions;
  readonly #pid: Promise<number | undefined>;
  readonly #closed: Promise<void>;
  /** those that must end before {@link exit} settles */
  readonly #outputs: readonly [OutputStream, ...OutputStream[]];
  #close: () => void = () => undefined;
  #isClosed = false;
  #outcome: GuestExit | undefined;
  #forced: GuestExit | undefined;
  #ending: Promise<void> | undefined;

  constructor(channel: ClientChannel, options: ChannelProcessOptions) {
    const { connection, token, hasTerminal } = options;
    this.#channel = channel;
    this.#options = options;
    // A guest that breaks the protocol loses its connection, and with it every session.
    const window = new SessionWindow(channel, (what) =>
      connection.destroy(new Error(what)),
    );
    let tellPid: (pid: number | undefined) => void = () => undefined;
    this.#pid = new Promise((resolve) => (tellPid = resolve));
    const pidLine = new PidLine(token, tellPid);
    const take = (bytes: number): void => window.take(bytes);
    const { stderr } = channel;
    if (hasTerminal) {
      this.#outputs = [new OutputStream(channel, take, pidLine)];
      this.stderr = Readable.from([]);
      stderr.on("data", (chunk: Buffer) => take(chunk.length));
      stderr.on("error", () => undefined);
    } else {
      const errors = new OutputStream(stderr, take, pidLine);
      this.#outputs = [new OutputStream(channel, take), errors];
      this.stderr = errors;
    }
    this.stdout = this.#outputs[0];
    this.stdin = inputStream(channel, connection);

    this.#closed = new Promise((resolve) => (this.#close = resolve));
    channel.on("exit", (code: number | null, signal?: string) => {
      this.#outcome = readExit(code, signal);
    });
    channel.on("close", () => this.#close());
    channel.on("error", () => undefined);
    void this.#closed.then(() => {
      this.#isClosed = true;
      tellPid(undefined);
      this.stdin.destroy();
    });
    this.exit = this.#settle();
    // Whoever only reads the output must not end the daemon with an unhandled rejection.
    this.exit.catch(() => undefined);
  }

  resize({ columns, rows }: TerminalSize): void {
    this.#channel.setWindow(rows, columns, 0, 0);
  }

  terminate(): Promise<void> {
    this.#ending ??= this.#terminate();
    return this.#ending;
  }

  async #terminate(): Promise<void> {
    if (this.#isClosed) return;
    const { hasTerminal, killGroup, connection, limits } = this.#options;
    const pid = await Promise.race([this.#pid, wait(limits.pidWaitMs)]);
    // The hangup reaches the shell's jobs, which have process groups of their own.
    if (hasTerminal) this.#forceClose({ signal: "SIGHUP" });
    try {
      if (pid !== undefined && !connection.closed) await killGroup(pid);
    } catch (error) {
      // Who has lost the connection learns it from `exit`.
      if (!connection.closed) throw error;
    } finally {
      // A process that left the group may hold the outputs open; then the session ends without it.
      await Promise.race([this.#closed, wait(limits.closeWaitMs)]);
      if (!connection.closed) this.#forceClose({ signal: "SIGKILL" });
    }
  }

  /** Ends the session on this side; the guest may never confirm. */
  #forceClose(outcome: GuestExit): void {
    if (this.#isClosed) return;
    this.#forced ??= outcome;
    this.#channel.close();
    for (const output of this.#outputs) output.cut();
    this.#close();
  }

  async #settle(): Promise<GuestExit> {
    await Promise.all([
      this.#closed,
      // A reader that destroys an output has ended it as well.
      ...this.#outputs.map((output) =>
        finished(output, { cleanup: true }).catch(() => undefined),
      ),
    ]);
    const outcome = this.#outcome ?? this.#forced;
    if (outcome) return outcome;
    const { connection, vmName } = this.#options;
    throw new GuestConnectionError(
      vmName,
      connection.closed
        ? "the connection was lost while a command ran"
        : "the guest ended a command without a status",
      connection.reason,
    );
  }
}

/** Does not keep the daemon alive. */
function wait(ms: number): Promise<undefined> {
  return pause(ms, undefined, { ref: false });
}
