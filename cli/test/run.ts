import { PassThrough } from "node:stream";
import type { Io } from "../src/io.js";
import { runCli } from "../src/run-cli.js";

export interface RunOptions {
  readonly home: string;
  readonly stdin?: Buffer;
  readonly cwd?: string;
  readonly terminal?: boolean;
  readonly env?: Record<string, string>;
  readonly signal?: AbortSignal;
  /** node's arguments that run the daemon; one that fails otherwise */
  readonly daemonArgs?: readonly string[];
  /** the script behind `banger system …`; one that is not there otherwise */
  readonly systemProgram?: string;
}

/** Runs a command line in this process. */
export async function run(
  argv: readonly string[],
  options: RunOptions,
): Promise<{ status: number; stdout: string; stderr: string }> {
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? "");
  const stdout = capture();
  const stderr = capture();
  const terminal = options.terminal === true ? { isTTY: true } : {};
  const keyboard = { ...terminal, setRawMode: () => undefined };
  const io: Io = {
    stdin: Object.assign(stdin, keyboard),
    stdout: Object.assign(stdout.stream, terminal),
    stderr: Object.assign(stderr.stream, terminal),
    env: { BANGER_HOME: options.home, ...options.env },
    cwd: options.cwd ?? options.home,
    interrupted: options.signal ?? new AbortController().signal,
  };
  const status = await runCli(argv, {
    io,
    build: { version: "9.8.7", id: "abcdefabcdef" },
    daemonArgs: options.daemonArgs ?? ["-e", "process.exit(3)"],
    systemProgram: options.systemProgram ?? "no-such-program",
  });
  return { status, stdout: stdout.text(), stderr: stderr.text() };
}

function capture(): { stream: PassThrough; text: () => string } {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString("utf8") };
}
