import { BangerError, type BangerErrorOptions } from "../errors.js";

/** A program of the host, run without a shell. */
export interface Command {
  /** name looked up on the PATH, or an absolute path */
  readonly file: string;
  readonly args: readonly string[];
  /** after it the whole process group is ended */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  /** added to the daemon's environment */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** most bytes kept of each stream, default 1 MiB; more fails the command */
  readonly maxOutputBytes?: number;
  /** exit statuses that are no failure, default `[0]` */
  readonly okExitCodes?: readonly number[];
  /** each line of stdout and stderr as it comes */
  readonly onLine?: (line: string) => void;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs programs of the host. */
export interface CommandRunner {
  /**
   * Runs to the end. On abort, time-out or failure no process of its group is left.
   * @throws {@link ToolMissingError} when there is no such program
   * @throws {@link CommandFailedError} for another exit status, a signal, the time limit or too much output
   * @throws CancelledError after `signal`
   */
  run(command: Command): Promise<CommandResult>;
  /** Absolute path of a program on the PATH (`/usr/sbin` and `/sbin` included), or `undefined`. */
  find(program: string): Promise<string | undefined>;
}

export class ToolMissingError extends BangerError {
  override readonly code = "ERR_TOOL_MISSING";
  override readonly kind = "unavailable";
  constructor(program: string, cause?: unknown) {
    super(`the program ${program} is not installed`, {
      hint: "Run `banger setup`: it lists what is missing and how to get it",
      cause,
    });
  }
}

export class CommandFailedError extends BangerError {
  override readonly code = "ERR_COMMAND_FAILED";
  /** absent when a signal or the time limit ended it */
  readonly exitCode: number | undefined;
  /** the last lines it wrote to stderr */
  readonly stderrTail: string;

  constructor(
    command: Pick<Command, "file" | "args">,
    outcome: string,
    result: { exitCode?: number; stderr: string },
    options: BangerErrorOptions = {},
  ) {
    const program = command.file.split("/").at(-1) ?? command.file;
    const tail = result.stderr.trim().split("\n").slice(-6).join("\n");
    super(`${program} ${outcome}${tail === "" ? "" : `: ${tail}`}`, options);
    this.exitCode = result.exitCode;
    this.stderrTail = tail;
  }
}
