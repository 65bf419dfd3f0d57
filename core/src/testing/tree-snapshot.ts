import { createHash } from "node:crypto";
import { lstat, open, readdir, readlink } from "node:fs/promises";

/** What is below a directory: by relative path, a line that changes when the thing does (times apart). */
export type TreeSnapshot = Readonly<Record<string, string>>;

/** Bytes of a file that are looked at; disks are sparse and big. */
const hashedBytes = 256 * 1024;

/** Describes everything below a directory; an absent one is empty. The directory's own path does not count in contents. */
export async function snapshotTree(root: string): Promise<TreeSnapshot> {
  const found: Record<string, string> = {};
  const visit = async (relative: string): Promise<void> => {
    for (const name of (await list(`${root}/${relative}`)).sort()) {
      const path = relative === "" ? name : `${relative}/${name}`;
      const stats = await lstat(`${root}/${path}`);
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) {
        found[path] = `directory ${mode}`;
        await visit(path);
      } else if (stats.isSymbolicLink())
        found[path] = `link to ${await readlink(`${root}/${path}`)}`;
      else if (stats.isFile())
        found[path] =
          `file ${mode}, ${String(stats.size)} bytes, ${await hashStart(`${root}/${path}`, root)}`;
      else found[path] = `special ${mode}`;
    }
  };
  await visit("");
  return found;
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

async function hashStart(path: string, root: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(hashedBytes);
    const { bytesRead } = await file.read(buffer, 0, hashedBytes, 0);
    const text = buffer.toString("latin1", 0, bytesRead);
    return createHash("sha256")
      .update(text.replaceAll(root, ""))
      .digest("hex")
      .slice(0, 16);
  } finally {
    await file.close();
  }
}
