import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";
import { Install } from "../install.js";
import { runVariables } from "../run-variables.js";
import { NamespaceRun } from "./namespace-run.js";

/** The programs that run guests. */
export interface FirecrackerPrograms {
  readonly firecracker: string;
  readonly jailer: string | undefined;
}

/** A run in network namespaces in which guests are on Firecracker's API. */
export class FirecrackerRun {
  readonly #run: NamespaceRun;

  private constructor(run: NamespaceRun) {
    this.#run = run;
  }

  /** Makes everything, and removes it when `use` has ended, however it does. */
  static async with<T>(use: (run: FirecrackerRun) => Promise<T>): Promise<T> {
    return NamespaceRun.with((run) => use(new FirecrackerRun(run)));
  }

  /** goes with the run */
  get directory(): string {
    return this.#run.directory;
  }

  /**
   * Runs a program of Node.js in the namespace of the host, with every install set to use these programs.
   * @returns exit status; that of a shell after a signal
   */
  async node(
    argv: readonly string[],
    programs: FirecrackerPrograms,
  ): Promise<number> {
    return this.#run.node(argv, {
      [runVariables.config]: renderSettings(programs),
    });
  }

  /** Runs a guest's first command. @returns what the CLI wrote to stderr, when it failed */
  async problem(programs: FirecrackerPrograms): Promise<string | undefined> {
    const settings = renderSettings(programs);
    const install = new Install(settings, this.#run.imagesDirectory);
    const size = ["--memory", "256M", "--disk-size", "64M"];
    const banger = (...args: string[]): ChildProcess => {
      const [, program = "", ...rest] = install.command(args);
      const env = { BANGER_HOME: install.path, NO_COLOR: "1" };
      return this.#run.start([program, ...rest], env, "pipe");
    };
    try {
      const child = banger("vm", "run", "--rm", ...size, "--", "true");
      const stderr: Buffer[] = [];
      child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
      child.stdout?.resume();
      const status = await this.#run.end(child);
      return status === 0 ? undefined : Buffer.concat(stderr).toString();
    } finally {
      if (!this.#run.isInterrupted)
        await this.#run.end(banger("daemon", "stop"));
      rmSync(install.path, { recursive: true, force: true });
    }
  }
}

/** The jail is off but for the tests that are about it: what is in one is seen less well. */
function renderSettings({ firecracker, jailer }: FirecrackerPrograms): string {
  return [
    "[vmm]",
    'driver = "firecracker"',
    `firecracker_bin = ${JSON.stringify(firecracker)}`,
    ...(jailer === undefined ? [] : [`jailer_bin = ${JSON.stringify(jailer)}`]),
    "jailer_enabled = false",
    "[network]",
    'mode = "bridge"',
    "",
  ].join("\n");
}
