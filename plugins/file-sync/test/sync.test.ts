import { execFileSync } from "node:child_process";
import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NewcEntry } from "@banger/core";
import { fakeVm } from "@banger/core/testing";
import {
  archivePaths,
  removeArchive,
  writeArchive,
} from "../src/archive-file.js";
import { fileSyncConfig } from "../src/config.js";
import { fileSyncChecks } from "../src/doctor.js";
import { FileSyncUnreadableError } from "../src/file-sync-errors.js";
import { inspectConfigured, readHostFile } from "../src/host-file.js";
import { entryFindings, entryProblems } from "../src/preflight.js";
import { syncMembers } from "../src/sync-plan.js";

let directory = "";
let home = "";
let warnings: string[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-file-sync-"));
  home = `${directory}/home`;
  warnings = [];
  await mkdir(home);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

type Entry = [host: string, guest: string, mode?: string];
const parse = (entries: readonly Entry[]) =>
  fileSyncConfig.parse({
    entries: entries.map(([host, guest, mode]) => ({
      host,
      guest,
      ...(mode === undefined ? {} : { mode }),
    })),
  }).entries;

const members = (
  entries: readonly Entry[],
  options: { mostBytes?: number; signal?: AbortSignal } = {},
) =>
  syncMembers({
    entries: parse(entries),
    homeDirectory: home,
    signal: options.signal ?? new AbortController().signal,
    warn: (message) => warnings.push(message),
    ...(options.mostBytes === undefined
      ? {}
      : { mostBytes: options.mostBytes }),
  });

/** One line for each member. */
async function lines(entries: AsyncIterable<NewcEntry>): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of entries) {
    const mode = entry.kind === "symlink" ? "" : entry.mode.toString(8);
    const content =
      entry.kind === "file" ? ` ${Buffer.from(entry.content).toString()}` : "";
    found.push(`${entry.kind} ${mode} ${entry.path}${content}`);
  }
  return found;
}

async function file(
  path: string,
  content: string,
  mode = 0o644,
): Promise<void> {
  await writeFile(`${home}/${path}`, content);
  await chmod(`${home}/${path}`, mode);
}

describe("syncMembers", () => {
  it("gives files the configured mode and makes their parents once", async () => {
    await file("a", "A", 0o755);
    await file("b", "B");
    expect(
      await lines(
        members([
          ["~/a", "~/.config/x/a"],
          ["~/b", "~/.config/b", "0644"],
        ]),
      ),
    ).toEqual([
      "directory 700 root/.config",
      "directory 700 root/.config/x",
      "file 600 root/.config/x/a A",
      "file 644 root/.config/b B",
    ]);
  });

  it("walks directories with each one's own mode and does not follow links", async () => {
    await mkdir(`${home}/d/sub`, { recursive: true });
    await chmod(`${home}/d`, 0o750);
    await chmod(`${home}/d/sub`, 0o711);
    await file("d/run", "R", 0o4755);
    await file("d/sub/key", "K", 0o400);
    await file("outside", "secret");
    await symlink("../outside", `${home}/d/link`);
    await symlink("..", `${home}/d/up`);
    execFileSync("mkfifo", [`${home}/d/pipe`]);
    const server = createServer().listen(`${home}/d/socket`);
    try {
      expect(await lines(members([["~/d", "~/d", "0777"]]))).toEqual([
        "directory 750 root/d",
        "file 755 root/d/run R",
        "directory 711 root/d/sub",
        "file 400 root/d/sub/key K",
      ]);
    } finally {
      server.close();
    }
    expect(warnings).toHaveLength(4);
    for (const name of ["link", "up", "pipe", "socket"])
      expect(warnings.join("\n")).toContain(`/d/${name} is `);
  });

  it("follows a configured link to a file, and no other", async () => {
    await file("real", "R");
    await mkdir(`${home}/dir`);
    await symlink("real", `${home}/link`);
    await symlink("dir", `${home}/dirlink`);
    await symlink("nothing", `${home}/dangling`);
    expect(
      await lines(
        members([
          ["~/link", "~/a"],
          ["~/dirlink", "~/b"],
          ["~/dangling", "~/c"],
          ["~/missing", "~/d"],
        ]),
      ),
    ).toEqual(["file 600 root/a R"]);
    expect(warnings).toHaveLength(3);
  });

  it("stops before it is too much, counting content and headers", async () => {
    await mkdir(`${home}/d`);
    await file("d/a", "x".repeat(400));
    await file("d/b", "x".repeat(400));
    const tooLarge = { code: "ERR_FILE_SYNC_TOO_LARGE" };
    await expect(
      lines(members([["~/d", "~/d"]], { mostBytes: 1000 })),
    ).rejects.toMatchObject(tooLarge);
    expect(
      await lines(members([["~/d", "~/d"]], { mostBytes: 1200 })),
    ).toHaveLength(3);
    await rm(`${home}/d/a`);
    await file("d/b", "");
    await expect(
      lines(members([["~/d", "~/d"]], { mostBytes: 200 })),
    ).rejects.toMatchObject(tooLarge);
  });

  it("ends at a cancel", async () => {
    await file("a", "A");
    await expect(
      lines(members([["~/a", "~/a"]], { signal: AbortSignal.abort() })),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});

describe("readHostFile", () => {
  it("does not open what has become a link, a directory or a pipe since it was looked at", async () => {
    await file("real", "R");
    await symlink("real", `${home}/link`);
    execFileSync("mkfifo", [`${home}/pipe`]);
    for (const name of ["link", "pipe", "", "missing"])
      expect(await readHostFile(`${home}/${name}`, false, 100)).toBeUndefined();
  });

  it("bounds files that have no size", async () => {
    expect(await readHostFile("/proc/self/status", false, 10)).toBe(
      "too-large",
    );
    const whole = await readHostFile("/proc/self/status", false, 100_000);
    expect(
      typeof whole === "object" && whole.content.byteLength,
    ).toBeGreaterThan(10);
  });

  it("says which file cannot be read", async () => {
    const path = `${home}/${"x".repeat(300)}`;
    await expect(readHostFile(path, false, 10)).rejects.toBeInstanceOf(
      FileSyncUnreadableError,
    );
    await expect(inspectConfigured(path)).rejects.toMatchObject({
      code: "ERR_FILE_SYNC_UNREADABLE",
    });
  });
});

describe("the archive", () => {
  const vm = () => fakeVm({ runtime: { directory } });

  it("is one that cpio reads, readable for its owner only, the same again", async () => {
    await file("a", "hello");
    const write = () =>
      writeArchive(
        vm(),
        members([["~/a", "~/.x/a"]]),
        new AbortController().signal,
      );
    await write();
    const { archive } = archivePaths(vm());
    const first = await readFile(archive);
    expect((await stat(archive)).mode & 0o777).toBe(0o600);
    expect(first.subarray(0, 6).toString()).toBe("070701");
    expect(first.includes("root/.x/a\0")).toBe(true);
    expect(first.includes("TRAILER!!!")).toBe(true);
    await write();
    expect(await readFile(archive)).toEqual(first);
  });

  it("keeps the last whole one when reading fails, and is removed with its remains", async () => {
    await file("a", "hello");
    const signal = new AbortController().signal;
    const { archive, unfinished } = archivePaths(vm());
    await writeArchive(vm(), members([["~/a", "~/a"]]), signal);
    const whole = await readFile(archive);
    await expect(
      writeArchive(vm(), members([["~/a", "~/a"]], { mostBytes: 1 }), signal),
    ).rejects.toThrow();
    expect(await readFile(archive)).toEqual(whole);
    await writeFile(unfinished, "half");
    await removeArchive(vm());
    await removeArchive(vm());
    await expect(stat(archive)).rejects.toThrow("ENOENT");
    await expect(stat(unfinished)).rejects.toThrow("ENOENT");
  });
});

describe("findings and checks", () => {
  const problemsOf = (entries: readonly Entry[]) =>
    entryProblems(parse(entries), home);

  it("are none when everything is there", async () => {
    await file("a", "A");
    expect(await problemsOf([["~/a", "~/a"]])).toEqual([]);
    expect(fileSyncChecks(1, [])).toMatchObject([
      { status: "pass", detail: "1 entry, all there" },
    ]);
    expect(fileSyncChecks(0, [])).toMatchObject([{ status: "pass" }]);
  });

  it("warn about what is missing and refuse what cannot be read", async () => {
    await file("a", "A");
    const problems = await problemsOf([
      ["~/a", "~/a"],
      ["~/missing", "~/b"],
      [`~/${"x".repeat(300)}`, "~/c"],
    ]);
    expect(entryFindings(problems)).toMatchObject([
      {
        id: "file-sync.entries[1]",
        severity: "warning",
        message: expect.stringContaining("~/missing") as string,
      },
      { id: "file-sync.entries[2]", severity: "error" },
    ]);
    expect(fileSyncChecks(3, problems)).toMatchObject([
      { id: "file-sync.entries", status: "fail" },
    ]);
    expect(fileSyncChecks(2, problems.slice(0, 1))).toMatchObject([
      { status: "warn" },
    ]);
  });
});
