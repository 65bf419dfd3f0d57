import { execFile } from "node:child_process";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
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
    const found = await inspectRepository(file, "/", signal);
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
