import { closeSync, openSync, writeSync } from "node:fs";
import type { Logger as LoggerBody } from "./bodies.js";

const levels = ["off", "error", "warn", "info", "debug", "trace"];

/** Log lines in Firecracker's form, on stdout until a file is named. */
export class Log {
  readonly #id: string;
  #file: number | undefined;
  #level = "info";
  #showLevel = false;

  constructor(id: string) {
    this.#id = id;
  }

  /** @throws system errors when the file cannot be opened; Error when there is no such level */
  configure({ level, log_path, show_level }: LoggerBody): void {
    if (level !== undefined) {
      const name = level.toLowerCase().replace("warning", "warn");
      if (!levels.includes(name)) throw new Error(level);
      this.#level = name;
    }
    if (show_level !== undefined) this.#showLevel = show_level;
    if (log_path === undefined) return;
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = openSync(log_path, "a");
  }

  line(text: string, level = "info", thread = "main"): void {
    if (levels.indexOf(level) > levels.indexOf(this.#level)) return;
    const shown = this.#showLevel ? `:${level.toUpperCase()}` : "";
    const time = new Date().toISOString().replace("Z", "000000");
    try {
      writeSync(
        this.#file ?? 1,
        `${time} [${this.#id}:${thread}${shown}] ${text}\n`,
      );
    } catch {
      // A full pipe or one that nobody reads loses lines, as Firecracker's does.
    }
  }
}
