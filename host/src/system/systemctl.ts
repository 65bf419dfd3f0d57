import { lstat } from "node:fs/promises";
import { CommandFailedError, type CommandRunner } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { systemLayout } from "./layout.js";

/** Is systemd this host's init system? */
export async function hasSystemd(): Promise<boolean> {
  try {
    return (await lstat(systemLayout.systemdMark)).isDirectory();
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/** Longest wait for systemd, ms: a daemon has 90 s to end. */
const limitMs = 120_000;

/** Tells systemd what to do with units. */
export class Systemctl {
  readonly #commands: CommandRunner;
  readonly #signal: AbortSignal;

  constructor(commands: CommandRunner, signal: AbortSignal) {
    this.#commands = commands;
    this.#signal = signal;
  }

  /** @throws CommandFailedError with what systemd says */
  async run(...args: readonly string[]): Promise<string> {
    const { stdout } = await this.#commands.run({
      file: "systemctl",
      args: ["--no-ask-password", ...args],
      timeoutMs: limitMs,
      signal: this.#signal,
    });
    return stdout;
  }

  /** One word, such as `active`, `failed` or `not-found`. */
  async stateOf(unit: string): Promise<string> {
    const shown = await this.run(
      ...["show", "--property=LoadState,ActiveState", unit],
    );
    const values = Object.fromEntries(
      shown.split("\n").map((line) => line.split("=", 2) as [string, string]),
    );
    const { LoadState = "", ActiveState = "unknown" } = values;
    return LoadState === "loaded" ? ActiveState : LoadState;
  }

  /** Ends units and forgets them. Idempotent: those that are not there are fine. */
  async remove(units: readonly string[]): Promise<void> {
    for (const unit of units) {
      if ((await this.stateOf(unit)) === "not-found") continue;
      await this.run("disable", "--now", unit);
      try {
        await this.run("reset-failed", unit);
      } catch (error) {
        // It had not failed, and is unloaded already.
        if (!(error instanceof CommandFailedError)) throw error;
      }
    }
  }
}
