import {
  chmod,
  chown,
  lstat,
  mkdir,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  ensureDirectories,
  ensureRunDirectory,
} from "../../src/files/private-directories.js";
import { resolvePaths, type Paths } from "../../src/paths.js";
import { temporaryDirectory } from "./temporary-directory.js";

async function freshPaths(): Promise<Paths> {
  return resolvePaths({ BANGER_HOME: await temporaryDirectory() });
}

const unsafe = { code: "ERR_DIRECTORY_UNSAFE" };

describe("ensureDirectories", () => {
  it("makes all of them for the owner alone, and is content with them later", async () => {
    const paths = await freshPaths();
    await ensureDirectories(paths);
    await ensureDirectories(paths);
    for (const directory of [
      paths.stateDirectory,
      paths.vmsDirectory,
      paths.imagesDirectory,
      paths.kernelsDirectory,
      paths.sshDirectory,
      paths.cacheDirectory,
      paths.ociCacheDirectory,
      paths.downloadsDirectory,
      paths.runDirectory,
    ]) {
      expect((await stat(directory)).mode & 0o7777, directory).toBe(0o700);
    }
  });

  it("tightens a state directory, which may be a link of the owner's", async () => {
    const paths = await freshPaths();
    const elsewhere = join(await temporaryDirectory(), "big-disk");
    await mkdir(elsewhere, { mode: 0o755 });
    await chmod(elsewhere, 0o755);
    await symlink(elsewhere, paths.stateDirectory);
    await ensureDirectories(paths);
    expect((await stat(elsewhere)).mode & 0o777).toBe(0o700);
    expect((await lstat(paths.stateDirectory)).isSymbolicLink()).toBe(true);
  });

  it("says what cannot be used: a file in a directory's place, or in its parent's", async () => {
    const paths = await freshPaths();
    const unusable = { code: "ERR_PATH_UNUSABLE", kind: "unavailable" };
    await writeFile(paths.stateDirectory, "");
    await expect(ensureDirectories(paths)).rejects.toMatchObject(unusable);
    await rm(paths.stateDirectory);
    await mkdir(paths.stateDirectory);
    await writeFile(paths.vmsDirectory, "");
    await expect(ensureDirectories(paths)).rejects.toMatchObject(unusable);
  });

  it.runIf(process.getuid?.() === 0)(
    "refuses directories of another user",
    async () => {
      const paths = await freshPaths();
      await mkdir(paths.runDirectory, { mode: 0o700 });
      await chown(paths.runDirectory, 65534, 65534);
      await expect(ensureRunDirectory(paths)).rejects.toMatchObject(unsafe);

      await mkdir(paths.stateDirectory, { mode: 0o700 });
      await chown(paths.stateDirectory, 65534, 65534);
      await expect(ensureDirectories(paths)).rejects.toMatchObject(unsafe);
    },
  );
});

describe("ensureRunDirectory", () => {
  it("refuses a symbolic link, also to a directory of ours", async () => {
    const paths = await freshPaths();
    const target = await temporaryDirectory();
    await symlink(target, paths.runDirectory);
    await expect(ensureRunDirectory(paths)).rejects.toMatchObject(unsafe);
  });

  it("refuses one that is open to others and leaves it as it is", async () => {
    const paths = await freshPaths();
    await mkdir(paths.runDirectory);
    await chmod(paths.runDirectory, 0o770);
    await expect(ensureRunDirectory(paths)).rejects.toMatchObject(unsafe);
    expect((await stat(paths.runDirectory)).mode & 0o777).toBe(0o770);
  });

  it("checks the parents that it makes too", async () => {
    const base = await temporaryDirectory();
    const paths: Paths = {
      ...(await freshPaths()),
      runDirectory: join(base, "shared", "hash"),
      runParents: [join(base, "shared"), join(base, "shared", "hash")],
    };
    await ensureRunDirectory(paths);
    await chmod(join(base, "shared"), 0o777);
    await expect(ensureRunDirectory(paths)).rejects.toMatchObject(unsafe);
  });

  it("does not take a file for a directory", async () => {
    const paths = await freshPaths();
    await writeFile(paths.runDirectory, "");
    await expect(ensureRunDirectory(paths)).rejects.toMatchObject({
      code: "ERR_PATH_UNUSABLE",
      message: expect.stringContaining(paths.runDirectory) as string,
    });
  });
});
