import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { inspectRepository } from "../../src/workspace/repository.js";
import { temporaryDirectory } from "../temporary-directory.js";

const run = promisify(execFile);
const signal = new AbortController().signal;

async function git(directory: string, ...args: string[]): Promise<void> {
  const identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
  await run("git", ["-C", directory, ...identity, ...args]);
}

async function repository(): Promise<string> {
  const top = join(await temporaryDirectory(), "my repo");
  await mkdir(join(top, "sub"), { recursive: true });
  await git(top, "init", "-q");
  return top;
}

const names = (files: readonly Buffer[]): string[] => files.map(String).sort();

describe("inspectRepository", () => {
  it("lists what is tracked and there, whatever it is called", async () => {
    const top = await repository();
    const odd = ["a", "sub/b c", "line\nfeed", "-dash", "tab\there", "gone"];
    for (const file of odd) await writeFile(join(top, file), file);
    await symlink("nowhere", join(top, "link"));
    await git(top, "add", "--all");
    await rm(join(top, "gone"));
    await writeFile(join(top, "untracked"), "");
    await writeFile(join(top, ".gitignore"), "ignored\n");
    await writeFile(join(top, "ignored"), "");
    const found = await inspectRepository("sub", top, signal);
    expect(names(found.files)).toEqual(
      [...odd.filter((name) => name !== "gone"), "link"].sort(),
    );
    expect(found).toMatchObject({
      top,
      name: "my repo",
      untracked: 2,
      submodules: [],
    });
  });

  it("keeps names that are not UTF-8", async () => {
    const top = await repository();
    const name = Buffer.from([0x66, 0xff]);
    await writeFile(Buffer.concat([Buffer.from(`${top}/`), name]), "");
    await git(top, "add", "--all");
    expect((await inspectRepository(".", top, signal)).files).toEqual([name]);
  });

  it("refuses a repository without tracked files, and a file", async () => {
    const top = await repository();
    await writeFile(join(top, "untracked"), "");
    const empty = inspectRepository(".", top, signal);
    await expect(empty).rejects.toMatchObject({ code: "ERR_NOT_A_REPOSITORY" });
    await git(top, "add", "untracked");
    const file = inspectRepository("./untracked", top, signal);
    await expect(file).rejects.toMatchObject({
      code: "ERR_NOT_A_DIRECTORY",
      hint: expect.stringContaining("Name a directory") as string,
    });
  });

  it("leaves submodules out and names them", async () => {
    const top = await repository();
    const inner = join(top, "module");
    await mkdir(inner);
    await git(inner, "init", "-q");
    await writeFile(join(inner, "file"), "");
    await git(inner, "add", "file");
    await git(inner, "commit", "-q", "-m", "x");
    await git(top, "add", "module");
    const found = await inspectRepository(top, "/", signal);
    expect(found).toMatchObject({ files: [], submodules: ["module"] });
  });

  it("lists a file in conflict once", async () => {
    const top = await repository();
    const file = join(top, "f");
    const commit = async (text: string): Promise<void> => {
      await writeFile(file, text);
      await git(top, "add", "f");
      await git(top, "commit", "-q", "-m", text);
    };
    await commit("base");
    await git(top, "branch", "other");
    await commit("ours");
    await git(top, "checkout", "-q", "other");
    await commit("theirs");
    await git(top, "merge", "-q", "-").catch(() => undefined);
    const found = await inspectRepository(top, "/", signal);
    expect(names(found.files)).toEqual(["f"]);
  });

  it("does not take a directory for the file that it replaced", async () => {
    const top = await repository();
    await writeFile(join(top, "f"), "");
    await git(top, "add", "f");
    await rm(join(top, "f"));
    await mkdir(join(top, "f"));
    await writeFile(join(top, "f", "secret"), "");
    expect((await inspectRepository(top, "/", signal)).files).toEqual([]);
  });

  it("refuses what is no work tree", async () => {
    const plain = await temporaryDirectory();
    await expect(
      inspectRepository("none", plain, signal),
    ).rejects.toMatchObject({ code: "ERR_PATH_NOT_FOUND", kind: "usage" });
    const refused = { code: "ERR_NOT_A_REPOSITORY", kind: "usage" };
    await expect(inspectRepository(".", plain, signal)).rejects.toMatchObject(
      refused,
    );
    await run("git", ["init", "-q", "--bare", join(plain, "bare.git")]);
    await expect(
      inspectRepository("bare.git", plain, signal),
    ).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining("bare") as unknown,
    });
  });
});

describe("inspectRepository in a stranger's repository", () => {
  /** A program that leaves a file behind. */
  async function trap(top: string): Promise<{ program: string; ran: string }> {
    const program = join(top, "..", "trap.sh");
    const ran = join(top, "..", "ran");
    await writeFile(program, `#!/bin/sh\ntouch '${ran}'\n`, { mode: 0o755 });
    return { program, ran };
  }

  const ranAtAll = async (ran: string): Promise<boolean> =>
    (await readdir(join(ran, ".."))).includes("ran");

  it("runs neither its file system monitor nor its hooks", async () => {
    const top = await repository();
    await writeFile(join(top, "f"), "");
    await git(top, "add", "f");
    const { program, ran } = await trap(top);
    await mkdir(join(top, "hooks"));
    for (const hook of ["post-index-change", "fsmonitor-watchman"])
      await symlink(program, join(top, "hooks", hook));
    await git(top, "config", "core.hooksPath", join(top, "hooks"));
    await git(top, "config", "core.fsmonitor", program);
    await inspectRepository(top, "/", signal);
    expect(await ranAtAll(ran)).toBe(false);
    // The trap works: git without our care runs it.
    await git(top, "ls-files", "--others");
    expect(await ranAtAll(ran)).toBe(true);
  });

  it("fetches nothing that is missing from a partial clone", async () => {
    const top = await repository();
    await writeFile(join(top, ".gitignore"), "ignored\n");
    await git(top, "add", ".gitignore");
    await git(top, "update-index", "--skip-worktree", ".gitignore");
    await rm(join(top, ".gitignore"));
    await rm(join(top, ".git", "objects"), { recursive: true });
    await mkdir(join(top, ".git", "objects"));
    const { program, ran } = await trap(top);
    for (const [name, value] of [
      ["core.repositoryFormatVersion", "1"],
      ["extensions.partialClone", "origin"],
      ["remote.origin.url", `ext::${program}`],
      ["remote.origin.promisor", "true"],
      ["protocol.ext.allow", "always"],
    ] as const)
      await git(top, "config", name, value);
    await inspectRepository(top, "/", signal).catch(() => undefined);
    expect(await ranAtAll(ran)).toBe(false);
    await git(top, "ls-files", "--others", "--exclude-standard").catch(
      () => undefined,
    );
    expect(await ranAtAll(ran)).toBe(true);
  });

  it("takes nothing from behind a symlink, and names it", async () => {
    const top = await repository();
    for (const directory of ["a/deep", "b"])
      await mkdir(join(top, directory), { recursive: true });
    for (const file of ["a/id", "a/deep/id", "b/id"])
      await writeFile(join(top, file), "");
    await git(top, "add", "--all");
    await rename(join(top, "a"), join(top, "..", "elsewhere"));
    await symlink("../elsewhere", join(top, "a"));
    const found = await inspectRepository(top, "/", signal);
    expect(names(found.files)).toEqual(["b/id"]);
    expect([...found.outside].sort()).toEqual(["a/deep/id", "a/id"]);
  });

  it.each([
    ["aa/id", "../id"],
    ["aaaa/config", ".git/config"],
    ["aaaa/config", ".GIT/config"],
    ["aa/bb/id", "aa/../id"],
    ["a/passwd", "//passwd"],
  ])("takes no path that git would not write: %s as %s", async (good, bad) => {
    const top = await repository();
    await mkdir(join(top, good, ".."), { recursive: true });
    await writeFile(join(top, good), "");
    await writeFile(join(top, "..", "id"), "secret");
    await git(top, "add", "--all");
    const index = join(top, ".git", "index");
    const bytes = await readFile(index);
    bytes.write(bad.padEnd(good.length, "\0"), bytes.indexOf(good));
    const body = bytes.subarray(0, -20);
    const sum = createHash("sha1").update(body).digest();
    await writeFile(index, Buffer.concat([body, sum]));
    // Newer versions of git refuse some of these themselves.
    const found = await inspectRepository(top, "/", signal).catch(
      (error: unknown) => {
        expect(error).toMatchObject({ code: "ERR_GIT_FAILED" });
      },
    );
    if (!found) return;
    expect(found.files).toEqual([]);
    expect(found.outside).toEqual([bad]);
  });

  it.each(["..", "../../.."])(
    "refuses one that names %s as its work tree",
    async (worktree) => {
      const top = await repository();
      await git(top, "config", "core.worktree", `../${worktree}`);
      const refused = { code: "ERR_FOREIGN_WORK_TREE", kind: "usage" };
      await expect(inspectRepository(top, "/", signal)).rejects.toMatchObject(
        refused,
      );
    },
  );

  it("refuses one whose work tree is a repository somewhere else", async () => {
    const victim = await repository();
    const top = await repository();
    await git(victim, "config", "core.worktree", victim);
    await rm(join(top, ".git"), { recursive: true });
    await writeFile(join(top, ".git"), `gitdir: ${victim}/.git\n`);
    await expect(inspectRepository(top, "/", signal)).rejects.toMatchObject({
      code: "ERR_FOREIGN_WORK_TREE",
    });
  });

  it("takes linked work trees and paths through symlinks", async () => {
    const top = await repository();
    await writeFile(join(top, "f"), "");
    await git(top, "add", "f");
    await git(top, "commit", "-q", "-m", "x");
    const linked = join(top, "..", "linked");
    await git(top, "worktree", "add", "-q", linked);
    await symlink(linked, join(top, "..", "way"));
    const found = await inspectRepository("../way", top, signal);
    expect(found.top).toBe(linked);
    expect(names(found.files)).toEqual(["f"]);
  });
});
