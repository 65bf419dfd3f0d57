import { spawn, type ChildProcess } from "node:child_process";
import type { Command, CommandResult, CommandRunner } from "@banger/core";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";

const outside = new ExecaCommandRunner();

/** Can this test make network namespaces and what it needs in them? */
export async function namespacesWork(
  ...programs: readonly string[]
): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const needed = ["unshare", "nsenter", "ip", ...programs];
  const found = await Promise.all(needed.map((name) => outside.find(name)));
  return found.every((path) => path !== undefined);
}

/** A network of its own, without any device but `lo`: what runs in it cannot touch the host's. It goes with its process. */
export class NetworkNamespace implements CommandRunner {
  readonly #holder: ChildProcess;
  readonly pid: number;

  private constructor(holder: ChildProcess, pid: number) {
    this.#holder = holder;
    this.pid = pid;
  }

  static async make(): Promise<NetworkNamespace> {
    const holder = spawn(
      "unshare",
      ["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const { pid } = holder;
    await new Promise<void>((resolve, reject) => {
      holder.once("error", reject);
      holder.once("exit", () => reject(new Error("no network namespace")));
      holder.stdout.once("data", () => resolve());
    });
    if (pid === undefined) throw new Error("no network namespace");
    return new NetworkNamespace(holder, pid);
  }

  run(command: Command): Promise<CommandResult> {
    const net = `--net=/proc/${String(this.pid)}/ns/net`;
    const args = [net, "--", command.file, ...command.args];
    return outside.run({ ...command, file: "nsenter", args });
  }

  find(program: string): Promise<string | undefined> {
    return outside.find(program);
  }

  /** Runs a command line whose words are separated by a blank. @returns its output */
  async sh(line: string): Promise<string> {
    const [file = "", ...args] = line.split(" ");
    const { stdout } = await this.run({ file, args, timeoutMs: 30_000 });
    return stdout;
  }

  /** Runs a script of Node in it. @returns what it printed, trimmed */
  async node(script: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await this.run({
      file: process.execPath,
      args: ["-e", script, ...args],
      timeoutMs: 30_000,
    });
    return stdout.trim();
  }

  async remove(): Promise<void> {
    const ended = new Promise((resolve) => this.#holder.once("exit", resolve));
    this.#holder.kill("SIGKILL");
    await ended;
  }
}
