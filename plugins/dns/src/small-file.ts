import { open } from "node:fs/promises";

/** Settings are no longer than this, bytes. */
const mostBytes = 64 * 1024;

/** The beginning of a text file, 64 KiB at most; nothing when it is not there or not for us. */
export async function readSmallFile(path: string): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const buffer = Buffer.alloc(mostBytes);
      const { bytesRead } = await file.read(buffer, 0, mostBytes, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isUnreadable(error)) return "";
    throw error;
  }
}

/** Is it the system's word for a file that is not there, or not for us? */
export function isUnreadable(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : "";
  return ["ENOENT", "EACCES", "ENOTDIR", "EISDIR"].includes(String(code));
}
