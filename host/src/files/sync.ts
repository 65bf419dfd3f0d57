import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Makes a rename or a removal in a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  await sync(directory);
}

/** Makes a directory with the files in it durable; directories in it are not looked into. */
export async function syncFiles(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true }))
    if (entry.isFile()) await sync(join(directory, entry.name));
  await sync(directory);
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
