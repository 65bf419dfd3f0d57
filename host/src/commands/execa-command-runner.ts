import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import {
  CancelledError,
  CommandFailedError,
  ToolMissingError,
  type Command,
  type CommandResult,
  type CommandRunner,
} from "@banger/core";
import { CapturedStream } from "./captured-stream.js";
import { ParentDeath } from "./parent-death.js";
import { endGroup, signalGroup } from "./process-group.js";
import { findProgram, searchDirectories } from "./search-path.js";

const defaultMaxOutputBytes = 2 ** 20;
/** Longest delay of a Node timer, ms. */
const longestTimerMs = 2 ** 31 - 1;
/** After a program's end, its output is complete when nothing more comes for this long, ms: a background process may hold the pipe. */
const quietMs = 250;
const longestDrainMs = 2000;

/** Why a command is ended before it ends by itself. */
type Interruption =
  | { readonly kind: "timeout" | "cancelled" | "stdout" | "stderr" }
  | { readonly kind: "thrown"; readonly error: unknown };

/**
 * Runs programs through execa, each as the leader of a process group of its own: execa's own time limit and cancellation reach only the
 * direct child and wait for pipes that a grandchild may hold open, so limits, output and the end are handled here. A program does not
 * outlive this process.
 */
export class ExecaCommandRunner implements CommandRunner {
  readonly #parentDeath = new ParentDeath();

  find(program: string): Promise<string | undefined> {
    return findProgram(program, process.env["PATH"]);
  }

  async run(command: Command): Promise<CommandResult> {
    const name = command.file.split("/").at(-1) ?? command.file;
    const cancelled = (): CancelledError =>
      new CancelledError(name, command.signal?.reason);
    if (command.signal?.aborted) throw cancelled();
    const file = await this.find(command.file);
    if (file === undefined) throw new ToolMissingError(name);
    const { args } = command;
    const invocation = await this.#parentDeath.wrap({ file, args });
    // 0.1 s to load: not before the first command.
    const { execa } = await import("execa");
    if (command.signal?.aborted) throw cancelled();

    const { input } = command;
    const child = execa(invocation.file, invocation.args, {
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      encoding: "buffer",
      // The default, an open pipe, hangs a tool that reads its standard input.
      ...(input === undefined ? { stdin: "ignore" as const } : { input }),
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      env: {
        PATH: searchDirectories(process.env["PATH"]).join(":"),
        // Output is parsed, so it must not be in the user's language.
        LC_ALL: "C.UTF-8",
        ...command.env,
      },
    });
    const group = child.pid;
    if (group === undefined) {
      const { shortMessage, cause } = await child;
      const problem = cause instanceof Error ? cause.message : shortMessage;
      throw startFailure(command, problem ?? "unknown reason", cause);
    }

    let interrupt = (_why: Interruption): void => undefined;
    const interrupted = new Promise<Interruption>((resolve) => {
      interrupt = resolve;
    });
    const capture = (stream: "stdout" | "stderr"): CapturedStream =>
      new CapturedStream(
        child[stream],
        command.maxOutputBytes ?? defaultMaxOutputBytes,
        command.onLine,
        (reason) =>
          interrupt(
            reason === "too much"
              ? { kind: stream }
              : { kind: "thrown", error: reason.thrown },
          ),
      );
    const stdout = capture("stdout");
    const stderr = capture("stderr");
    const exited = new Promise<number | NodeJS.Signals>((resolve) => {
      child.once("exit", (code, signal) => resolve(code ?? signal ?? 0));
    });
    const timer = setTimeout(
      () => interrupt({ kind: "timeout" }),
      Math.min(command.timeoutMs, longestTimerMs),
    );
    const onAbort = (): void => interrupt({ kind: "cancelled" });
    command.signal?.addEventListener("abort", onAbort, { once: true });
    let outcome: number | string | Interruption;
    try {
      outcome = await Promise.race([
        interrupted,
        finished(exited, stdout, stderr),
      ]);
      const failed =
        typeof outcome !== "number" ||
        !(command.okExitCodes ?? [0]).includes(outcome);
      if (typeof outcome === "object") await endGroup(group);
      // The leader has ended by itself; what it left behind has no one to wait for.
      else if (failed) signalGroup(group, "SIGKILL");
    } finally {
      clearTimeout(timer);
      command.signal?.removeEventListener("abort", onAbort);
      stdout.abandon();
      stderr.abandon();
    }
    const problem =
      typeof outcome === "number"
        ? ParentDeath.problem(file, outcome, stderr.text)
        : undefined;
    if (problem !== undefined) throw startFailure(command, problem);
    return conclude(command, outcome, stdout.text, stderr.text, cancelled);
  }
}

function startFailure(
  command: Command,
  problem: string,
  cause?: unknown,
): CommandFailedError {
  return new CommandFailedError(
    command,
    `could not be started: ${problem}`,
    { stderr: "" },
    { cause },
  );
}

/** How the program ended, once its output is complete. */
async function finished(
  exited: Promise<number | NodeJS.Signals>,
  ...streams: readonly CapturedStream[]
): Promise<number | NodeJS.Signals> {
  const ending = await exited;
  const closed = Promise.all(streams.map((stream) => stream.ended)).then(
    () => true,
  );
  const until = performance.now() + longestDrainMs;
  const count = (): number =>
    streams.reduce((sum, stream) => sum + stream.chunkCount, 0);
  for (let before = -1; before !== count() && performance.now() < until;) {
    before = count();
    if (await Promise.race([closed, sleep(quietMs, false)])) break;
    // Timers come before input in Node's loop: after a long pause, let what is waiting in the pipe be read first.
    await setImmediate();
  }
  return ending;
}

function conclude(
  command: Command,
  outcome: number | string | Interruption,
  stdout: string,
  stderr: string,
  cancelled: () => CancelledError,
): CommandResult {
  const failure = (what: string): CommandFailedError =>
    new CommandFailedError(command, what, { stderr });
  if (typeof outcome === "string") throw failure(`was ended by ${outcome}`);
  if (typeof outcome === "number") {
    if ((command.okExitCodes ?? [0]).includes(outcome))
      return { exitCode: outcome, stdout, stderr };
    throw new CommandFailedError(
      command,
      `failed with status ${outcome.toString()}`,
      { exitCode: outcome, stderr },
    );
  }
  switch (outcome.kind) {
    case "cancelled":
      throw cancelled();
    case "timeout":
      throw failure(
        `did not end within ${(command.timeoutMs / 1000).toString()} s`,
      );
    case "thrown":
      throw outcome.error;
    case "stdout":
    case "stderr":
      throw failure(
        `wrote more than ${(command.maxOutputBytes ?? defaultMaxOutputBytes).toString()} bytes to ${outcome.kind}`,
      );
  }
}
