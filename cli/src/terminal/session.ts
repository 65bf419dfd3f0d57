import { constants } from "node:os";
import type { ApiClient } from "../client/api-client.js";
import { execInVm, type ExecExit, type TerminalSize } from "../client/exec.js";
import type { Input, Io, Output } from "../io.js";

export interface Session {
  /** id or name */
  readonly vm: string;
  /** without it a login shell runs */
  readonly argv?: readonly string[];
  readonly cwd?: string;
  /** give the process a terminal; needs one on both our stdin and stdout to be of use */
  readonly terminal: boolean;
}

/**
 * Connects the process's own streams with a command or a shell in a VM.
 * @returns exit status in the shell's terms: a death by signal is 128 and its number
 */
export async function runSession(
  client: ApiClient,
  io: Io,
  { vm, argv, cwd, terminal }: Session,
): Promise<number> {
  const { stdin, stdout, stderr } = io;
  const restore = terminal ? enterRawMode(stdin) : () => undefined;
  try {
    const exit = await execInVm(client, {
      vm,
      ...(argv ? { argv } : {}),
      ...(cwd === undefined ? {} : { cwd }),
      ...(terminal
        ? {
            terminal: { type: terminalType(io.env), ...sizeOf(stdout) },
            watchSize: (changed) => watchSize(stdout, changed),
          }
        : {}),
      stdin,
      stdout,
      stderr,
      signal: io.interrupted,
    });
    return exitStatus(exit);
  } finally {
    restore();
  }
}

/** Whether both ends are a terminal. */
export function hasTerminal({ stdin, stdout }: Io): boolean {
  return stdin.isTTY === true && stdout.isTTY === true;
}

/** @returns what brings the terminal back */
function enterRawMode(stdin: Input): () => void {
  if (stdin.isTTY !== true || !stdin.setRawMode) return () => undefined;
  stdin.setRawMode(true);
  return () => {
    stdin.setRawMode?.(false);
  };
}

function terminalType(env: Io["env"]): string {
  const type = env["TERM"];
  return type !== undefined && /^[\w.+-]{1,64}$/.test(type) ? type : "xterm";
}

/** A terminal may say that it has no columns at all. */
function sizeOf({ columns, rows }: Output): TerminalSize {
  const within = (value: number | undefined, otherwise: number): number =>
    Math.min(value === undefined || value < 1 ? otherwise : value, 1000);
  return { columns: within(columns, 80), rows: within(rows, 24) };
}

function watchSize(
  stdout: Output,
  changed: (size: TerminalSize) => void,
): () => void {
  const listener = (): void => {
    changed(sizeOf(stdout));
  };
  stdout.on("resize", listener);
  return () => stdout.off("resize", listener);
}

/** As a shell has it. */
export function exitStatus({ exitCode, signal }: ExecExit): number {
  if (exitCode !== undefined) return exitCode & 0xff;
  const name = `SIG${(signal ?? "").replace(/^SIG/, "")}`;
  const number = (constants.signals as Record<string, number | undefined>)[
    name
  ];
  return 128 + (number ?? 0);
}
