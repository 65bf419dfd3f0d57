import { execFileSync, spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { mergeTables } from "./merge-tables.js";
import { runVariables } from "./run-variables.js";

/** The root of the source tree. */
export const repository: string = resolve(import.meta.dirname, "..");

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

/** An install of its own: BANGER_HOME in a new folder, driven through the built CLI. */
export class Install {
  readonly path: string;
  #config: string;

  /**
   * @param config the test's own; the settings of the run are added
   * @param imagesDirectory shared with other installs; without it there are no images
   */
  constructor(config = "", imagesDirectory?: string) {
    this.path = mkdtempSync(join(tmpdir(), "banger-e2e-"));
    mkdirSync(join(this.path, "state"), { mode: 0o700 });
    if (imagesDirectory !== undefined)
      symlinkSync(imagesDirectory, join(this.path, "state/images"));
    this.#config = config;
    this.#writeConfig();
  }

  /** Adds to the configuration; the next command meets a new daemon. A table that is there already must not be named again. */
  configure(more: string): void {
    this.#config += more;
    this.#writeConfig();
  }

  #writeConfig(): void {
    const settings = process.env[runVariables.config] ?? "";
    const text = mergeTables(this.#config, settings);
    writeFileSync(join(this.path, "config.toml"), text, { mode: 0o600 });
  }

  /** A DNS port that no other install of this run uses; 42069 may be the owner's own daemon. */
  static dnsConfig(port: number): string {
    return `[plugins.dns]\nlisten = "127.0.0.1:${String(port)}"\n`;
  }

  /** Program and arguments of the built CLI. */
  command(args: readonly string[]): readonly string[] {
    const program = join(repository, "cli/dist/banger-start.cjs");
    return [process.execPath, program, ...args];
  }

  /** Starts the built CLI and returns at once. */
  start(
    args: readonly string[],
    options: RunOptions = {},
  ): ChildProcessWithoutNullStreams {
    const [program = "", ...rest] = this.command(args);
    return spawn(program, rest, {
      cwd: options.cwd ?? this.path,
      env: {
        ...process.env,
        NO_COLOR: "1",
        ...options.env,
        BANGER_HOME: this.path,
      },
    });
  }

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

  /** Deletes every VM, ends the daemon, removes the folder. */
  async remove(): Promise<void> {
    const ids = (await this.ok(["vm", "list", "-a", "-q"]))
      .split("\n")
      .filter(Boolean);
    if (ids.length > 0) await this.ok(["vm", "delete", ...ids]);
    await this.ok(["daemon", "stop"]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A folder with the default image. */
export interface SharedImages {
  readonly directory: string;
  /** removes it, when it was made for this run */
  remove(): void;
}

/**
 * Builds the default image as a user would, for all installs of a run to share. BANGER_E2E_IMAGES names an images directory that has it,
 * and the CLI is then taken as it was last built; BANGER_E2E_IMAGE_HOME names a home in which the first of several runs builds it.
 */
export function provideImages(): SharedImages {
  const images = process.env[runVariables.images];
  if (images !== undefined)
    return { directory: resolve(images), remove: () => undefined };
  const shared = process.env[runVariables.imageHome];
  const home = shared ?? mkdtempSync(join(tmpdir(), "banger-e2e-image-"));
  const directory = join(home, "state/images");
  if (!hasImage(directory)) buildImage(home);
  return {
    directory,
    remove: () => {
      if (shared === undefined) rmSync(home, { recursive: true, force: true });
    },
  };
}

function hasImage(directory: string): boolean {
  return (
    existsSync(directory) &&
    readdirSync(directory).some((name) => !name.startsWith("."))
  );
}

function buildImage(home: string): void {
  const banger = (...args: readonly string[]): void => {
    execFileSync(join(repository, "banger"), args, {
      env: { ...process.env, BANGER_HOME: home },
      stdio: ["ignore", "inherit", "inherit"],
    });
  };
  banger("setup", "--yes");
  banger("image", "build", "debian-bookworm");
  banger("daemon", "stop");
}

/** Calls `look` until it gives something other than `undefined` or `false`. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (Date.now() > deadline) throw new Error(`not seen in time: ${what}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}
