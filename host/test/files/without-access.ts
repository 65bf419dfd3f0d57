import { chmod } from "node:fs/promises";

/** Does something while nobody but root may enter a directory, and as somebody who is not root. */
export async function withoutAccess<T>(
  directory: string,
  work: () => Promise<T>,
): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  await chmod(directory, 0);
  if (isRoot) process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(directory, 0o700);
  }
}
