import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findProgram } from "./search-path.js";

const run = promisify(execFile);

/** Options of setpriv(1) that make the kernel kill the program when its parent ends. */
const options = ["--pdeathsig", "KILL", "--"] as const;

/** Exit statuses of setpriv(1) for a program that cannot be executed, or is not there. */
const cannotExecute = [126, 127];

/** A program and its arguments. */
export interface Invocation {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * Lets programs die with this process, whatever ends it: a tool that outlived a killed daemon would go on writing a disk that the next
 * daemon gives to a guest. The kernel forgets this at a set-id program, and does not hand it on to a program's own children.
 * @see PR_SET_PDEATHSIG in prctl(2), setpriv(1)
 */
export class ParentDeath {
  #setpriv: Promise<string | undefined> | undefined;

  /** The invocation under `setpriv`, which becomes the program; unchanged on a host without a setpriv that can. Looks once. */
  async wrap({ file, args }: Invocation): Promise<Invocation> {
    this.#setpriv ??= findSetpriv();
    const setpriv = await this.#setpriv;
    if (setpriv === undefined) return { file, args };
    return { file: setpriv, args: [...options, file, ...args] };
  }

  /** What setpriv says when it could not become the program; `undefined` for anything that the program itself did. Pure. */
  static problem(
    file: string,
    outcome: number,
    stderr: string,
  ): string | undefined {
    const prefix = `setpriv: failed to execute ${file}: `;
    return cannotExecute.includes(outcome) && stderr.startsWith(prefix)
      ? stderr.slice(prefix.length).trim()
      : undefined;
  }
}

async function findSetpriv(): Promise<string | undefined> {
  const setpriv = await findProgram("setpriv", process.env["PATH"]);
  if (setpriv === undefined) return undefined;
  try {
    // That of busybox lacks the option, and would fail every command.
    await run(setpriv, [...options, setpriv, "--version"], { timeout: 5000 });
    return setpriv;
  } catch {
    return undefined;
  }
}
