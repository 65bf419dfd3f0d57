import { statSync, type Stats } from "node:fs";

/** Tells whether a path still leads to the file that was there at first. */
export class FileIdentity {
  readonly path: string;
  readonly #first: Stats;

  constructor(path: string) {
    this.path = path;
    this.#first = statSync(path);
  }

  /** @throws an error of the system when the path leads elsewhere or nowhere, or may not be followed */
  require(): void {
    const { dev, ino } = statSync(this.path);
    if (dev === this.#first.dev && ino === this.#first.ino) return;
    const what = `${this.path} is another file than the one that was opened`;
    throw Object.assign(new Error(what), { code: "ESTALE", syscall: "stat" });
  }
}
