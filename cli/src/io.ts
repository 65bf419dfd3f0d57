import type { Readable, Writable } from "node:stream";

/** Standard input, which may be a terminal. */
export type Input = Readable & {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
};

/** Standard output or error, which may be a terminal. */
export type Output = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** All that a command sees of its process. */
export interface Io {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** absolute path of the working directory */
  readonly cwd: string;
  /** aborts with an {@link Interruption} when the user or the system wants an end; watched from the first use on */
  readonly interrupted: AbortSignal;
}

/** Why a command was ended from outside. */
export class Interruption extends Error {
  /** 128 and the signal's number */
  readonly exitCode: number;
  /** somebody may read an answer; false when the terminal or the output's reader has gone */
  readonly isHeard: boolean;
  constructor(signal: string, exitCode: number) {
    super(`ended by ${signal}`);
    this.isHeard = signal !== "SIGPIPE" && signal !== "SIGHUP";
    this.exitCode = exitCode;
  }
}
