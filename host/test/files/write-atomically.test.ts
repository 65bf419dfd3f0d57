import { mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
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
