import { realpath, stat } from "node:fs/promises";
import {
  CommandFailedError,
  isBangerError,
  ToolMissingError,
  type CommandRunner,
} from "@banger/core";
import type { VmmProgram } from "../vmm-drivers.js";
import {
  featuresOf,
  parseFirecrackerVersion,
  requireBootable,
  type FirecrackerFeatures,
  type FirecrackerVersion,
} from "./version.js";

/** Longest run of `firecracker --version`, ms. */
const versionLimitMs = 10_000;

/** A Firecracker that runs our guests. */
export interface UsableFirecracker {
  /** absolute, without symbolic links */
  readonly path: string;
  readonly version: FirecrackerVersion;
  readonly features: FirecrackerFeatures;
}

/** Firecracker as it is installed on this host. Its version is asked for once for each file that it was. */
export class FirecrackerProgram {
  readonly #commands: CommandRunner;
  readonly #program: string;
  #asked: { readonly file: string; readonly text: string } | undefined;

  constructor(options: {
    commands: CommandRunner;
    /** absolute; default: looked up on the PATH */
    program?: string | undefined;
  }) {
    this.#commands = options.commands;
    this.#program = options.program ?? "firecracker";
  }

  /** What there is, and what speaks against it. */
  async look(signal: AbortSignal): Promise<VmmProgram> {
    const path = await this.#find();
    if (path === undefined)
      return {
        problem: this.#program.startsWith("/")
          ? `there is no program ${this.#program}`
          : "it is not installed",
        fix: "Install Firecracker 1.8 or later, or set vmm.firecracker_bin",
      };
    try {
      requireBootable(await this.#version(path, signal));
      return { path };
    } catch (error) {
      return { path, ...problemOf(error) };
    }
  }

  /** Such as `1.8.0`; `undefined` when it is not installed or does not say. */
  async version(signal: AbortSignal): Promise<string | undefined> {
    const path = await this.#find();
    if (path === undefined) return undefined;
    try {
      return (await this.#version(path, signal)).text;
    } catch (error) {
      problemOf(error);
      return undefined;
    }
  }

  /** @throws ToolMissingError, FirecrackerVersionError, FirecrackerTooOldError, CommandFailedError, CancelledError after `signal` */
  async require(signal: AbortSignal): Promise<UsableFirecracker> {
    const path = await this.#find();
    if (path === undefined) throw new ToolMissingError(this.#program);
    const version = await this.#version(path, signal);
    requireBootable(version);
    return { path, version, features: featuresOf(version) };
  }

  async #find(): Promise<string | undefined> {
    const path = await this.#commands.find(this.#program);
    return path === undefined ? undefined : realpath(path);
  }

  async #version(
    path: string,
    signal: AbortSignal,
  ): Promise<FirecrackerVersion> {
    const { mtimeMs, size, ino } = await stat(path);
    const file = `${path} ${String(mtimeMs)} ${String(size)} ${String(ino)}`;
    if (this.#asked?.file !== file) {
      const { stdout } = await this.#commands.run({
        file: path,
        args: ["--version"],
        timeoutMs: versionLimitMs,
        signal,
      });
      this.#asked = { file, text: stdout };
    }
    return parseFirecrackerVersion(this.#asked.text);
  }
}

/** What can be wrong with somebody's program. @throws everything else, so also that the caller has cancelled */
function problemOf(error: unknown): Pick<VmmProgram, "problem" | "fix"> {
  if (
    !isBangerError(error) ||
    (error.kind !== "unavailable" && !(error instanceof CommandFailedError))
  )
    throw error;
  const [problem = ""] = error.message.split("\n");
  return { problem, ...(error.hint === undefined ? {} : { fix: error.hint }) };
}
