import { statSync } from "node:fs";

/** Tells whether the configuration file is still the one that the daemon has read. */
export class ConfigVersion {
  readonly #file: string;
  #seen: string;

  /** Before the file is read: a change in between then counts as one. */
  constructor(file: string) {
    this.#file = file;
    this.#seen = this.#look();
  }

  get changed(): boolean {
    return this.#look() !== this.#seen;
  }

  /** The daemon wrote the file itself. */
  accept(): void {
    this.#seen = this.#look();
  }

  #look(): string {
    const stat = statSync(this.#file, { throwIfNoEntry: false });
    return stat === undefined
      ? "none"
      : `${String(stat.mtimeMs)} ${String(stat.size)} ${String(stat.ino)}`;
  }
}
