import { execFile, spawn, type ChildProcess } from "node:child_process";
import { access, constants } from "node:fs/promises";
import {
  CommandFailedError,
  type Command,
  type CommandResult,
  type CommandRunner,
} from "@banger/core";

const directories = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

async function find(program: string): Promise<string | undefined> {
  for (const directory of directories) {
    const path = `${directory}/${program}`;
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/** Can this test make network namespaces and what it needs in them? */
export async function namespacesWork(
  ...programs: readonly string[]
): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const found = await Promise.all(
    ["unshare", "nsenter", "ip", ...programs].map(find),
  );
  return found.every((path) => path !== undefined);
}

/** A network of its own, without any device but `lo`: what runs in it cannot touch the host's. It goes with its processes. */
export class NetworkNamespace implements CommandRunner {
  readonly pid: number;
  /** programs that this host has not got */
  readonly missing = new Set<string>();
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
    const { timeoutMs, signal, input, okExitCodes = [0] } = command;
    const args = this.#enter(command.file, ...command.args);
    const env = { ...process.env, PATH: directories.join(":"), LC_ALL: "C" };
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
          if (okExitCodes.includes(exitCode))
            return resolve({ exitCode, stdout, stderr });
          const outcome = `exited with ${String(error?.code)}`;
          reject(new CommandFailedError(command, outcome, { stderr }));
        },
      );
      // A program that has ended before it read everything is judged by its status.
      child.stdin?.on("error", () => undefined).end(input);
    });
  }

  async find(program: string): Promise<string | undefined> {
    return this.missing.has(program) ? undefined : find(program);
  }

  /** Runs a command line whose words are separated by a blank. @returns its output */
  async sh(line: string): Promise<string> {
    const [file = "", ...args] = line.split(" ");
    const { stdout } = await this.run({ file, args, timeoutMs: 30_000 });
    return stdout;
  }

  /** Runs a script of Node in it. @returns what it printed, trimmed */
  async node(script: string, ...args: readonly string[]): Promise<string> {
    const command = { file: process.execPath, args: ["-e", script, ...args] };
    const { stdout } = await this.run({ ...command, timeoutMs: 30_000 });
    return stdout.trim();
  }

  /** Starts a script of Node that stays until the namespace goes. Resolves when it has printed something. */
  async serve(script: string): Promise<void> {
    const args = this.#enter(process.execPath, "-e", script);
    const server = spawn("nsenter", args, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#processes.push(server);
    await ready(server);
  }

  async remove(): Promise<void> {
    for (const child of this.#processes.reverse()) {
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
    child.once("exit", () => reject(new Error("it ended at once")));
    child.stdout?.once("data", () => resolve());
  });
}
