import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { Install, provideImages, type SharedImages } from "../install.js";
import { runVariables } from "../run-variables.js";
import { NetworkNamespaces } from "./network-namespaces.js";

/** The programs that run guests. */
export interface FirecrackerPrograms {
  readonly firecracker: string;
  readonly jailer: string | undefined;
}

/** How long what is interrupted may take to end, ms. */
const graceMs = 15_000;

/**
 * Gives programs what a run on Firecracker's API needs: the image, two network namespaces and a folder for everything temporary. All of
 * it goes with the run, also after SIGINT and SIGTERM.
 */
export class FirecrackerRun {
  /** goes with the run */
  readonly directory: string;
  readonly #images: SharedImages;
  readonly #namespaces: NetworkNamespaces;
  #child: ChildProcess | undefined;
  #interruptedBy: NodeJS.Signals | undefined;

  private constructor(
    directory: string,
    images: SharedImages,
    namespaces: NetworkNamespaces,
  ) {
    this.directory = directory;
    this.#images = images;
    this.#namespaces = namespaces;
  }

  /** Makes everything, and removes it when `use` has ended, however it does. */
  static async with<T>(use: (run: FirecrackerRun) => Promise<T>): Promise<T> {
    // The image first: it may have to be built, and the namespaces have no way to a mirror.
    const images = provideImages();
    const directory = mkdtempSync(join(tmpdir(), "banger-fc-"));
    try {
      const namespaces = NetworkNamespaces.make();
      const run = new FirecrackerRun(directory, images, namespaces);
      const interrupt = (signal: NodeJS.Signals): void => {
        run.#interrupt(signal);
      };
      process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
      try {
        return await use(run);
      } finally {
        namespaces.remove();
        process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
      images.remove();
    }
  }

  /**
   * Runs a program of Node.js in the namespace of the host, with every install set to use these programs.
   * @returns exit status; that of a shell after a signal
   */
  async node(
    argv: readonly string[],
    programs: FirecrackerPrograms,
  ): Promise<number> {
    return this.#end(this.#start(argv, programs, "inherit"));
  }

  /** Runs a guest's first command. @returns what the CLI wrote to stderr, when it failed */
  async problem(programs: FirecrackerPrograms): Promise<string | undefined> {
    const settings = renderSettings(programs);
    const install = new Install(settings, this.#images.directory);
    const size = ["--memory", "256M", "--disk-size", "64M"];
    const banger = (...args: string[]): ChildProcess => {
      const [, program = "", ...rest] = install.command(args);
      const env = { BANGER_HOME: install.path, NO_COLOR: "1" };
      return this.#start([program, ...rest], programs, "pipe", env);
    };
    try {
      const child = banger("vm", "run", "--rm", ...size, "--", "true");
      const stderr: Buffer[] = [];
      child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
      child.stdout?.resume();
      const status = await this.#end(child);
      return status === 0 ? undefined : Buffer.concat(stderr).toString();
    } finally {
      if (this.#interruptedBy === undefined)
        await this.#end(banger("daemon", "stop"));
      rmSync(install.path, { recursive: true, force: true });
    }
  }

  #start(
    argv: readonly string[],
    programs: FirecrackerPrograms,
    output: "inherit" | "pipe",
    env: Readonly<Record<string, string>> = {},
  ): ChildProcess {
    if (this.#interruptedBy !== undefined)
      throw new Error(`ended by ${this.#interruptedBy}`);
    const [file, ...args] = this.#namespaces.command([
      process.execPath,
      ...argv,
    ]);
    const child = spawn(file, args, {
      stdio: ["ignore", output, output],
      env: {
        ...process.env,
        ...this.#namespaces.environment,
        [runVariables.images]: this.#images.directory,
        [runVariables.config]: renderSettings(programs),
        TMPDIR: this.directory,
        ...env,
      },
    });
    this.#child = child;
    return child;
  }

  #end(child: ChildProcess): Promise<number> {
    return new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => {
        resolve(status ?? 128 + constants.signals[signal ?? "SIGKILL"]);
      });
    });
  }

  /** A terminal sends it to the whole group, others to this process alone. */
  #interrupt(signal: NodeJS.Signals): void {
    this.#interruptedBy = signal;
    const child = this.#child;
    child?.kill(signal);
    setTimeout(() => child?.kill("SIGKILL"), graceMs).unref();
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
