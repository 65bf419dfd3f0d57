import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { provideImages, type SharedImages } from "../install.js";
import { runVariables } from "../run-variables.js";
import { NetworkNamespaces } from "./network-namespaces.js";

/** How long what is interrupted may take to end, ms. */
const graceMs = 15_000;

/**
 * Gives programs what guests on a bridge need: the image, two network namespaces and a folder for everything temporary. All of it goes with
 * the run, also after SIGINT and SIGTERM.
 */
export class NamespaceRun {
  /** goes with the run */
  readonly directory: string;
  /** has the default image */
  readonly imagesDirectory: string;
  readonly #namespaces: NetworkNamespaces;
  #child: ChildProcess | undefined;
  #interruptedBy: NodeJS.Signals | undefined;

  private constructor(
    directory: string,
    images: SharedImages,
    namespaces: NetworkNamespaces,
  ) {
    this.directory = directory;
    this.imagesDirectory = images.directory;
    this.#namespaces = namespaces;
  }

  /** Makes everything, and removes it when `use` has ended, however it does. */
  static async with<T>(use: (run: NamespaceRun) => Promise<T>): Promise<T> {
    // The image first: it may have to be built, and the namespaces have no way to a mirror.
    const images = provideImages();
    const directory = mkdtempSync(join(tmpdir(), "banger-ns-"));
    try {
      const namespaces = NetworkNamespaces.make();
      const run = new NamespaceRun(directory, images, namespaces);
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

  get isInterrupted(): boolean {
    return this.#interruptedBy !== undefined;
  }

  /**
   * Runs a program of Node.js in the namespace of the host.
   * @returns exit status; that of a shell after a signal
   */
  async node(
    argv: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<number> {
    return this.end(this.start(argv, env, "inherit"));
  }

  /** Starts it; one at a time. @throws Error after a signal */
  start(
    argv: readonly string[],
    env: Readonly<Record<string, string>>,
    output: "inherit" | "pipe",
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
        [runVariables.images]: this.imagesDirectory,
        TMPDIR: this.directory,
        ...env,
      },
    });
    this.#child = child;
    return child;
  }

  /** Waits for it. @returns exit status; that of a shell after a signal */
  end(child: ChildProcess): Promise<number> {
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
