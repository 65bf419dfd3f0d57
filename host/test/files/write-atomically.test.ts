import {
  mkdir,
  open,
  readFile,
  readdir,
  stat,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { writeAtomically } from "../../src/files/write-atomically.js";
import { temporaryDirectory } from "./temporary-directory.js";

it("replaces content and mode, and leaves nothing else", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "a.json");
  await writeFile(file, "old", { mode: 0o644 });
  await writeAtomically(file, "new");
  expect(await readFile(file, "utf8")).toBe("new");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["a.json"]);
});

it("leaves no temporary file when the target cannot be replaced", async () => {
  const directory = await temporaryDirectory();
  await mkdir(join(directory, "a.json"));
  await expect(
    writeAtomically(join(directory, "a.json"), "new"),
  ).rejects.toThrow();
  expect(await readdir(directory)).toEqual(["a.json"]);
});

it("says that the disk is full, and leaves the old content alone", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "a.json");
  await writeFile(file, "old");
  const handle = await open(file);
  const prototype = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
  const write = vi.spyOn(prototype, "writeFile").mockRejectedValue(full);
  try {
    await expect(writeAtomically(file, "new")).rejects.toMatchObject({
      code: "ERR_DISK_FULL",
      cause: full,
    });
  } finally {
    write.mockRestore();
  }
  expect(await readFile(file, "utf8")).toBe("old");
  expect(await readdir(directory)).toEqual(["a.json"]);
});
