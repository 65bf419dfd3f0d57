import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { runVariables } from "../run-variables.js";

/** What a system install changes. */
const changed = ["/etc", "/usr/local", "/var/lib", "/var/cache", "/run"];

/**
 * Puts layers of a run's own over the directories that a system install changes, in this process's mount namespace: what is written there is
 * gone with them, and nothing of it reaches the machine. Everybody may open TAP devices below them, as on a machine with udev.
 */
export class PrivateLayers {
  readonly #directory: string;
  readonly #mounted: string[] = [];

  /** @param directory absent; goes with the layers */
  constructor(directory: string) {
    this.#directory = directory;
  }

  mount(): void {
    // Outside of a run this is the machine's own mount namespace.
    if (process.env[runVariables.outside] === undefined)
      throw new Error("run it by npm run test:network");
    const resolver = readFileSync("/etc/resolv.conf");
    mkdirSync(this.#directory);
    // An upper layer cannot be on another overlay, which the directory may be in a container.
    this.#mount("tmpfs", this.#directory, "mode=755");
    for (const path of changed) {
      const base = this.#base(path);
      for (const part of ["upper", "work"])
        mkdirSync(join(base, part), { recursive: true });
      const layers = `lowerdir=${path},upperdir=${base}/upper,workdir=${base}/work`;
      this.#mount("overlay", path, layers);
    }
    // What is mounted below a lower layer is not seen through it.
    rmSync("/etc/resolv.conf");
    writeFileSync("/etc/resolv.conf", resolver);
    this.#mount("tmpfs", "/dev/net", "mode=755");
    execFileSync("mknod", ["-m", "666", "/dev/net/tun", "c", "10", "200"]);
  }

  /**
   * Idempotent.
   * @returns paths of what was made, written or removed below the layers; directories only when they are new
   */
  unmount(): readonly string[] {
    const [scratch, ...others] = this.#mounted.splice(0);
    if (scratch === undefined) return [];
    // Lazily: after a failed test a process may have them open, and the next test needs what is below.
    const take = (path: string): void => {
      execFileSync("umount", ["--lazy", path]);
    };
    for (const path of others.reverse()) take(path);
    const paths = changed.flatMap((path) => this.#changesBelow(path));
    take(scratch);
    rmSync(this.#directory, { recursive: true });
    return paths;
  }

  /** What was there before is in its place again. */
  #changesBelow(path: string): readonly string[] {
    const upper = join(this.#base(path), "upper");
    const entries = readdirSync(upper, { recursive: true, encoding: "utf8" });
    return entries
      .filter((entry) => {
        const isDirectory = lstatSync(join(upper, entry)).isDirectory();
        return !isDirectory || !existsSync(join(path, entry));
      })
      .map((entry) => join(path, entry));
  }

  #base(path: string): string {
    return join(this.#directory, path.slice(1).replace("/", "-"));
  }

  #mount(type: string, path: string, options: string): void {
    execFileSync("mount", ["-t", type, "-o", options, "banger-test", path]);
    this.#mounted.push(path);
  }
}
