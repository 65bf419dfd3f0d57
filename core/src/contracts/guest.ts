import type { Duplex, Readable, Writable } from "node:stream";
import { BangerError } from "../errors.js";
import type { GuestFacts } from "../model/stats.js";
import type { VmRecord } from "../model/vm.js";

/** The agent in the guest. Whatever it answers is hostile input: bounded and validated. */
export interface GuestAgent {
  /**
   * Resolves at the agent's first valid answer, which means that the guest accepts connections.
   * @throws GuestNotReadyError after `limitMs`, CancelledError after `signal`
   */
  waitReady(vm: VmRecord, limitMs: number, signal: AbortSignal): Promise<void>;
  /** Asks the guest to write everything to disk and do what ends its VMM. Resolves when the request was handed over. */
  powerOff(vm: VmRecord, signal: AbortSignal): Promise<void>;
  /** Round trip to the agent, ms. */
  ping(vm: VmRecord, signal: AbortSignal): Promise<number>;
  /** Memory and load, read in the guest. */
  facts(vm: VmRecord, signal: AbortSignal): Promise<GuestFacts>;
  /** How far the guest's clock is ahead of the host's, ms; negative when it is behind. Precise to half a round trip. */
  clockOffset(vm: VmRecord, signal: AbortSignal): Promise<number>;
  /**
   * Runs a process to its end without network and SSH. When `signal` ends the wait, the process is killed with its group, if the guest
   * can still be asked to.
   * @throws BangerError when the agent does not answer, cannot start it, or it writes more than {@link AgentOutput} holds
   */
  exec(
    vm: VmRecord,
    command: AgentCommand,
    signal: AbortSignal,
  ): Promise<AgentOutput>;
}

export interface AgentCommand {
  /** program, looked up in the agent's PATH, and arguments, handed on unchanged */
  readonly argv: readonly [string, ...string[]];
  /** what it reads; nothing when absent */
  readonly input?: Uint8Array;
}

/** What a process did, known only after it has ended. */
export interface AgentOutput {
  readonly exit: GuestExit;
  /** at most 1 MiB */
  readonly stdout: Uint8Array;
  /** at most 1 MiB */
  readonly stderr: Uint8Array;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A pseudo-terminal for a guest process. */
export interface Terminal extends TerminalSize {
  /** value of TERM */
  readonly type: string;
}

export interface GuestCommand {
  /** program and arguments, handed on unchanged; absent: root's login shell */
  readonly argv?: readonly string[];
  /** working directory, absolute; default /root */
  readonly cwd?: string;
  readonly terminal?: Terminal;
}

/** How a guest process ended: its status, or the name of the signal that ended it. */
export type GuestExit =
  | { readonly exitCode: number; readonly signal?: undefined }
  | { readonly exitCode?: undefined; readonly signal: string };

export interface GuestProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** empty when there is a terminal */
  readonly stderr: Readable;
  /** Settles after both outputs have ended. Rejects with GuestConnectionLostError when the connection breaks. */
  readonly exit: Promise<GuestExit>;
  resize(size: TerminalSize): void;
  /** Ends the process with its whole process group: SIGTERM, after two seconds SIGKILL. Idempotent. */
  terminate(): Promise<void>;
}

/** The kept-alive connection to each running VM. */
export interface GuestSsh {
  /**
   * Starts a process in the guest; connects first when there is no connection.
   * @throws GuestConnectionError
   */
  exec(
    vm: VmRecord,
    command: GuestCommand,
    signal: AbortSignal,
  ): Promise<GuestProcess>;
  /** Opens the connection so that the next `exec` is quick. Idempotent. */
  connect(vm: VmRecord, signal: AbortSignal): Promise<void>;
  /**
   * A connection to a TCP port of the guest, made from inside it: one bound to the guest's loopback address answers too.
   * @throws GuestConnectionError, also when nothing listens there
   */
  openPort(vm: VmRecord, port: number, signal: AbortSignal): Promise<Duplex>;
  /** Idempotent. */
  disconnect(vm: VmRecord): Promise<void>;
}

export class GuestNotReadyError extends BangerError {
  override readonly code = "ERR_GUEST_NOT_READY";
  readonly console: readonly string[];
  constructor(
    vmName: string,
    what: string,
    consoleLines: readonly string[],
    cause?: unknown,
  ) {
    super(`the guest ${vmName} ${what}`, {
      hint: `Read its console: banger vm logs ${vmName}`,
      cause,
    });
    this.console = consoleLines;
  }
  override get details(): readonly string[] {
    return this.console;
  }
}

export class GuestConnectionError extends BangerError {
  override readonly code = "ERR_GUEST_CONNECTION";
  constructor(vmName: string, what: string, cause?: unknown) {
    super(`SSH to ${vmName}: ${what}`, {
      hint: `Look at the guest's console: banger vm logs ${vmName}`,
      cause,
    });
  }
}
