import { constants } from "node:fs";
import { chmod, link, mkdir, open, rm, symlink } from "node:fs/promises";

type NodeKind = "directory" | "file" | "symlink";

/** Thrown for a member that does not fit the tree; the message completes "the seed …". */
export class SeedTreeProblem extends Error {}

/**
 * Writes files below a directory that nobody else writes to, and remembers of what kind each path is. So it never has to follow
 * a symbolic link: a path that leads through one is refused.
 */
export class SeedTree {
  readonly #root: string;
  readonly #kinds = new Map<string, NodeKind>();

  /** @param root a new, empty directory of the caller's own */
  constructor(root: string) {
    this.#root = root;
  }

  kind(path: string): NodeKind | undefined {
    return this.#kinds.get(path);
  }

  async addDirectory(parts: readonly string[], mode: number): Promise<void> {
    await this.#ensureParents(parts);
    const path = parts.join("/");
    if (this.#kinds.get(path) === "directory") return;
    await this.#clear(path);
    // The owner's bits stay, so that the tree can be read and removed again.
    await this.#makeDirectory(path, (mode & 0o777) | 0o700);
  }

  /** A directory of exactly this mode; a file or link in its place goes, what is in a directory stays. */
  async replaceDirectory(
    parts: readonly string[],
    mode: number,
  ): Promise<void> {
    const path = parts.join("/");
    const kind = this.#kinds.get(path);
    if (kind !== undefined && kind !== "directory") await this.#clear(path);
    await this.addDirectory(parts, mode);
    await chmod(this.#absolute(path), mode);
  }

  /** @returns bytes written */
  async addFile(
    parts: readonly string[],
    mode: number,
    content: AsyncIterable<Uint8Array> | Uint8Array,
    mostBytes: number,
  ): Promise<number> {
    await this.#ensureParents(parts);
    const path = parts.join("/");
    await this.#clear(path);
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    const file = await open(
      this.#absolute(path),
      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
      0o600,
    );
    this.#kinds.set(path, "file");
    let written = 0;
    try {
      const chunks = content instanceof Uint8Array ? [content] : content;
      for await (const chunk of chunks) {
        written += chunk.byteLength;
        if (written > mostBytes)
          throw new SeedTreeProblem("is bigger than the disk");
        await file.writeFile(chunk);
      }
      // Set-id bits have no meaning for files of root that only root reaches.
      await file.chmod((mode & 0o777) | 0o600);
    } finally {
      await file.close();
    }
    return written;
  }

  async addSymlink(parts: readonly string[], target: string): Promise<void> {
    if (target === "" || target.includes("\0") || target.length >= 4096)
      throw new SeedTreeProblem(`has a link ${parts.join("/")} to nowhere`);
    await this.#ensureParents(parts);
    const path = parts.join("/");
    await this.#clear(path);
    await symlink(target, this.#absolute(path));
    this.#kinds.set(path, "symlink");
  }

  /** A second name for a file that is in the tree already. */
  async addHardLink(
    parts: readonly string[],
    target: readonly string[],
  ): Promise<void> {
    const [path, source] = [parts.join("/"), target.join("/")];
    if (this.#kinds.get(source) !== "file")
      throw new SeedTreeProblem(
        `links ${path} to ${source}, which is no file in it`,
      );
    if (path === source) return;
    await this.#ensureParents(parts);
    await this.#clear(path);
    await link(this.#absolute(source), this.#absolute(path));
    this.#kinds.set(path, "file");
  }

  async #ensureParents(parts: readonly string[]): Promise<void> {
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join("/");
      const kind = this.#kinds.get(path);
      if (kind === "directory") continue;
      if (kind !== undefined)
        throw new SeedTreeProblem(
          `puts ${parts.join("/")} below ${path}, which is a ${kind}`,
        );
      await this.#makeDirectory(path, 0o755);
    }
  }

  async #makeDirectory(path: string, mode: number): Promise<void> {
    await mkdir(this.#absolute(path), { mode: 0o700 });
    this.#kinds.set(path, "directory");
    // Not through mkdir: the daemon's umask takes bits away there.
    await chmod(this.#absolute(path), mode);
  }

  /** A later member takes the place of an earlier one, as tar does it; a directory with content keeps its place. */
  async #clear(path: string): Promise<void> {
    const kind = this.#kinds.get(path);
    if (kind === undefined) return;
    if (kind === "directory")
      throw new SeedTreeProblem(`replaces the directory ${path}`);
    await rm(this.#absolute(path));
    this.#kinds.delete(path);
  }

  #absolute(path: string): string {
    return `${this.#root}/${path}`;
  }
}
