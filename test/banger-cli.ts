import type { ChildProcessWithoutNullStreams } from "node:child_process";

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The command line of one install. */
export abstract class BangerCli {
  /** Starts it and returns at once. */
  abstract start(
    args: readonly string[],
    options?: RunOptions,
  ): ChildProcessWithoutNullStreams;

  /** Runs the CLI to its end. */
  async run(
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<Outcome> {
    const child = this.start(args, options);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    const status = await new Promise<number | null>((done, reject) => {
      child.on("error", reject);
      child.on("close", done);
    });
    return {
      status,
      stdout: Buffer.concat(stdout).toString(),
      stderr: Buffer.concat(stderr).toString(),
    };
  }

  /** Runs the CLI and demands success. @returns stdout */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(args, options);
    if (status !== 0) {
      throw new Error(
        `banger ${args.join(" ")} ended with ${String(status)}:\n${stderr}`,
      );
    }
    return stdout;
  }

  /** Demands success and parses what `--json` printed. */
  async json(args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.ok(args));
  }

  /** Process id of the daemon, which is started when there is none. */
  async daemonPid(): Promise<number> {
    const { pid } = (await this.json(["daemon", "status", "--json"])) as {
      pid: number;
    };
    return pid;
  }
}
