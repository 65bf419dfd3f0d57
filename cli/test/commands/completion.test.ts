import { execFile } from "node:child_process";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { completionScript } from "../../src/commands/completion-scripts.js";
import { startFakeDaemon } from "../fake-daemon.js";
import { run } from "../run.js";
import { sampleVm } from "../sample-vm.js";
import { temporaryDirectory } from "../temporary-directory.js";

async function candidates(
  home: string,
  ...words: string[]
): Promise<readonly string[]> {
  const { stdout, status } = await run(["--get-completions", ...words], {
    home,
  });
  expect(status).toBe(0);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split("\t")[0] ?? "");
}

describe("candidates", () => {
  it("are commands and flags without a daemon", async () => {
    const home = await temporaryDirectory();
    expect(await candidates(home, "")).toContain("vm");
    expect(await candidates(home, "do")).toEqual(["doctor"]);
    expect(await candidates(home, "vm", "st")).toEqual([
      "start",
      "stop",
      "stats",
    ]);
    expect(await candidates(home, "vm", "run", "--me")).toEqual(["--memory"]);
    expect(await candidates(home, "vm", "run", "--accel", "")).toEqual([
      "auto",
      "kvm",
      "emulate",
    ]);
    expect(await candidates(home, "vm", "run", "--accel=")).toEqual([
      "--accel=auto",
      "--accel=kvm",
      "--accel=emulate",
    ]);
    expect(await candidates(home, "vm", "run", "--accel=k")).toEqual([
      "--accel=kvm",
    ]);
    expect(await candidates(home, "vm", "pr")).toEqual(["prune"]);
    expect(await candidates(home, "vm", "stop", "--a")).toEqual(["--all"]);
    expect(await candidates(home, "vm", "kill", "-s", "")).toContain("TERM");
    expect(await candidates(home, "vm", "kill", "--signal=U")).toEqual([
      "--signal=USR1",
      "--signal=USR2",
    ]);
    expect(await candidates(home, "completion", "")).toEqual([
      "bash",
      "zsh",
      "fish",
    ]);
    expect(await candidates(home, "vm", "run", "")).toEqual([":files"]);
    expect(await candidates(home, "vm", "show", "")).toEqual([]);
    expect(await candidates(home, "vm", "exec", "x", "--", "")).toEqual([]);
    expect(await candidates(home, "nonsense", "")).toEqual([]);
  });

  it("are names from a daemon that runs", async () => {
    const home = await temporaryDirectory();
    await startFakeDaemon(home, {
      "GET /v1/vms": [sampleVm(), sampleVm({ name: "db" })],
      "GET /v1/images": [{ name: "debian-bookworm", distribution: "Debian" }],
      "GET /v1/plugins": [{ manifest: { id: "nat" }, description: "d" }],
    });
    expect(await candidates(home, "vm", "delete", "")).toEqual(["web", "db"]);
    expect(await candidates(home, "vm", "delete", "web", "d")).toEqual(["db"]);
    expect(await candidates(home, "vm", "restart", "web", "d")).toEqual(["db"]);
    expect(await candidates(home, "vm", "show", "web", "")).toEqual([]);
    expect(await candidates(home, "vm", "run", "--image", "deb")).toEqual([
      "debian-bookworm",
    ]);
    expect(await candidates(home, "vm", "run", "--no-plugin", "")).toEqual([
      "nat",
    ]);
  });
});

describe("the bash script", () => {
  it("offers what banger says, and files where it says so", async () => {
    const directory = await temporaryDirectory();
    const program = join(directory, "banger");
    await writeFile(
      program,
      '#!/bin/sh\nif [ "$4" = "" ]; then echo :files; else printf "web\\trunning\\nwant:er\\tx\\nother\\n"; fi\n',
    );
    await chmod(program, 0o755);
    await writeFile(join(directory, "a file"), "");
    await writeFile(join(directory, "script"), completionScript("bash"));
    const complete = async (words: string): Promise<string[]> => {
      const script = `source ./script; COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _banger; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await promisify(execFile)(
        "bash",
        ["--norc", "-c", script],
        { cwd: directory },
      );
      return stdout.split("\n").filter(Boolean);
    };
    expect(await complete("./banger vm show w")).toEqual(["web", "want:er"]);
    expect((await complete('./banger vm run ""')).sort()).toEqual([
      "a file",
      "banger",
      "script",
    ]);
  });

  it("takes --flag=value for one word, as readline does not", async () => {
    const directory = await temporaryDirectory();
    const program = join(directory, "banger");
    // What banger would say, after what it was asked.
    await writeFile(
      program,
      '#!/bin/sh\nshift\nprintf "%s|" "$@" >> asked\necho >> asked\nprintf "%s\\n" --accel=auto --accel=kvm\n',
    );
    await chmod(program, 0o755);
    await writeFile(join(directory, "script"), completionScript("bash"));
    const complete = async (words: string): Promise<string[]> => {
      const script = `source ./script; COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); _banger; printf '%s\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await promisify(execFile)(
        "bash",
        ["--norc", "-c", script],
        { cwd: directory },
      );
      return stdout.split("\n").filter(Boolean);
    };
    expect(await complete("./banger vm run --accel =")).toEqual([
      "auto",
      "kvm",
    ]);
    expect(await complete("./banger vm run --accel = k")).toEqual(["kvm"]);
    expect(await readFile(join(directory, "asked"), "utf8")).toBe(
      "vm|run|--accel=|\nvm|run|--accel=k|\n",
    );
  });

  it.each(["zsh", "fish"])("has a sibling for %s", (shell) => {
    expect(completionScript(shell)).toContain("--get-completions");
  });
});
