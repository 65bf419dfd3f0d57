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
import { BangerCli, type RunOptions } from "./banger-cli.js";
import { mergeTables } from "./merge-tables.js";
import { runVariables } from "./run-variables.js";

export type { Outcome } from "./banger-cli.js";

/** The root of the source tree. */
export const repository: string = resolve(import.meta.dirname, "..");

/** An install of its own: BANGER_HOME in a new folder, driven through the built CLI. */
export class Install extends BangerCli {
  readonly path: string;
  #config: string;

  /**
   * @param config the test's own; the settings of the run are added
   * @param imagesDirectory shared with other installs; without it there are no images
   */
  constructor(config = "", imagesDirectory?: string) {
    super();
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

  override start(
    args: readonly string[],
    { cwd = this.path, env }: RunOptions = {},
  ): ChildProcessWithoutNullStreams {
    const [program = "", ...rest] = this.command(args);
    return spawn(program, rest, {
      cwd,
      env: { ...process.env, NO_COLOR: "1", ...env, BANGER_HOME: this.path },
    });
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
