import { execFile, spawn, type ChildProcess } from "node:child_process";
import {
  CommandFailedError,
  type Command,
  type CommandResult,
  type CommandRunner,
} from "@banger/core";
import { find, programsWork, searchPath } from "./programs.js";

/** Can this test make network namespaces and what it needs in them? Only root can. */
export async function namespacesWork(
  ...programs: readonly string[]
): Promise<boolean> {
  if (process.getuid?.() !== 0) {
    console.warn("DNS of guests on a bridge was NOT tested: root is needed");
    return false;
  }
  return programsWork("unshare", "nsenter", "ip", ...programs);
}

/** A network of its own, without any device but `lo`: what runs in it cannot touch the host's. It goes with its processes. */
export class NetworkNamespace implements CommandRunner {
  readonly pid: number;
  readonly #processes: ChildProcess[];

  private constructor(holder: ChildProcess, pid: number) {
    this.#processes = [holder];
    this.pid = pid;
  }

  static async make(): Promise<NetworkNamespace> {
    const script = "ip link set lo up && echo ready && exec cat";
    const holder = spawn("unshare", ["--net", "sh", "-c", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await ready(holder);
    return new NetworkNamespace(holder, holder.pid ?? 0);
  }

  run(command: Command): Promise<CommandResult> {
    const { timeoutMs, signal, okExitCodes = [0], input } = command;
    const args = this.#enter(command.file, ...command.args);
    const env = { ...process.env, PATH: searchPath, LC_ALL: "C" };
    const options = {
      env,
      timeout: timeoutMs,
      ...(signal === undefined ? {} : { signal }),
    };
    return new Promise((resolve, reject) => {
      const child = execFile(
        "nsenter",
        args,
        options,
        (error, stdout, stderr) => {
          const exitCode = error === null ? 0 : Number(error.code);
          if (okExitCodes.includes(exitCode)) {
            resolve({ exitCode, stdout, stderr });
            return;
          }
          const outcome = `exited with ${String(error?.code)}`;
          reject(new CommandFailedError(command, outcome, { stderr }));
        },
      );
      // A program that reads nothing may have ended.
      child.stdin?.on("error", () => undefined).end(input);
    });
  }

  find(program: string): Promise<string | undefined> {
    return find(program);
  }

  /** Runs a command line whose words are separated by a blank. @returns its output, whatever the exit status of a name server's client */
  async sh(line: string): Promise<string> {
    const [file = "", ...args] = line.split(" ");
    const okExitCodes = file === "dig" ? [0, 9, 10] : [0];
    const command = { file, args, timeoutMs: 30_000, okExitCodes };
    const { stdout } = await this.run(command);
    return stdout;
  }

  /** Starts a program that stays until the namespace goes, or is ended before. Resolves when it has printed something. */
  async serve(file: string, ...args: readonly string[]): Promise<ChildProcess> {
    const server = spawn("nsenter", this.#enter(file, ...args), {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, PATH: searchPath },
    });
    this.#processes.push(server);
    await ready(server);
    return server;
  }

  async remove(): Promise<void> {
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.kill("SIGKILL")) await ended;
    }
  }

  #enter(...command: readonly string[]): readonly string[] {
    return [`--net=/proc/${String(this.pid)}/ns/net`, "--", ...command];
  }
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => {
      reject(new Error("it ended at once"));
    });
    child.stdout?.once("data", () => {
      resolve();
    });
  });
}
