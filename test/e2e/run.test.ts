import { createHash, randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { vmmPids } from "../own-processes.js";
import { eventually, Home } from "./harness.js";

describe("vm run", () => {
  let home: Home;
  let before: HostInventory;
  beforeAll(() => {
    home = new Home(Home.dnsConfig(15370));
    before = takeInventory(home.path);
  });
  afterAll(() => home.remove());

  const names = async (): Promise<string[]> =>
    (await home.ok(["vm", "list", "-a", "-q"])).split("\n").filter(Boolean);

  it("runs the README's first command in a VM of its own and leaves nothing", async () => {
    const { status, stdout, stderr } = await home.run([
      "vm",
      "run",
      "--yes",
      "--rm",
      "--",
      "uname",
      "-a",
    ]);
    expect(stderr).toContain("ready in");
    expect(stdout).toMatch(/^Linux \S+ 6\.1\.\S+-cloud-amd64 .*GNU\/Linux\n$/);
    expect(status).toBe(0);
    expect(await names()).toEqual([]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });

  it("passes status and both outputs, and deletes the VM all the same", async () => {
    const outcome = await home.run([
      ...["vm", "run", "--rm", "--name", "status", "--", "sh", "-c"],
      "echo out; echo err >&2; exit 7",
    ]);
    expect(outcome.status).toBe(7);
    expect(outcome.stdout).toBe("out\n");
    expect(outcome.stderr).toMatch(/^err$/m);
    expect(await names()).toEqual([]);
  });

  it("keeps what the first command puts into /tmp", async () => {
    const script = "echo kept > /tmp/file; sleep 5; cat /tmp/file";
    const args = ["vm", "run", "--rm", "--", "sh", "-c", script];
    expect(await home.ok(args)).toBe("kept\n");
  });

  it("copies the tracked files of a repository as they stand", async () => {
    const repo = mkdtempSync(join(tmpdir(), "banger-repo-"));
    const git = (...args: string[]): void => {
      execFileSync("git", ["-C", repo, ...args], { stdio: "pipe" });
    };
    git("init", "-q");
    writeFileSync(join(repo, "a file"), "committed\n");
    writeFileSync(join(repo, "run.sh"), "#!/bin/sh\ncat 'a file'; pwd\n", {
      mode: 0o755,
    });
    symlinkSync("a file", join(repo, "link"));
    git("add", ".");
    writeFileSync(join(repo, "a file"), "changed\n");
    writeFileSync(join(repo, "untracked"), "no\n");
    const script = "./run.sh; readlink link; ls untracked";
    const outcome = await home.run([
      "vm",
      "run",
      repo,
      "--rm",
      "--",
      "sh",
      "-c",
      script,
    ]);
    const guestPath = `/root/${repo.slice(repo.lastIndexOf("/") + 1)}`;
    expect(outcome.stdout).toBe(`changed\n${guestPath}\na file\n`);
    expect(outcome.stderr).toContain("untracked");
    expect(outcome.status).toBe(2);
    rmSync(repo, { recursive: true });
  });

  describe("detached", () => {
    const name = "detached-one";
    beforeAll(async () => {
      const vm = await home.json(["vm", "run", "-d", "--name", name, "--json"]);
      expect(vm).toMatchObject({ name, state: "running" });
    });

    it("carries five million random bytes in and out unchanged", async () => {
      const data = randomBytes(5_000_000);
      const sum = createHash("sha256").update(data).digest("hex");
      const digest = await home.ok(["vm", "exec", name, "--", "sha256sum"], {
        input: data,
      });
      expect(digest).toBe(`${sum}  -\n`);
      const echo = home.start(["vm", "exec", name, "--", "cat"]);
      const hash = createHash("sha256");
      echo.stdout.on("data", (chunk: Buffer) => hash.update(chunk));
      echo.stdin.end(data);
      await new Promise((done) => echo.on("close", done));
      expect(hash.digest("hex")).toBe(sum);
    });

    it("hands arguments on unchanged", async () => {
      const args = [
        "",
        "a b",
        "it's",
        '"quoted"',
        "$HOME",
        "-n",
        "new\nline",
        "grün",
        "\\",
      ];
      const printed = await home.ok([
        "vm",
        "exec",
        name,
        "--",
        "printf",
        "%s\\0",
        ...args,
      ]);
      expect(printed.split("\0").slice(0, -1)).toEqual(args);
    });

    it("ends although its own input stays open, and reports a signal as a shell does", async () => {
      const child = home.start([
        "vm",
        "exec",
        name,
        "--",
        "sh",
        "-c",
        "kill -KILL $$",
      ]);
      expect(await new Promise((done) => child.on("exit", done))).toBe(137);
      child.stdin.destroy();
    });

    it("ends the guest's process when the client is interrupted", async () => {
      const child = home.start([
        "vm",
        "exec",
        name,
        "--",
        "sh",
        "-c",
        "echo begun; sleep 987",
      ]);
      await new Promise((done) => child.stdout.once("data", done));
      child.kill("SIGINT");
      expect(await new Promise((done) => child.on("exit", done))).toBe(130);
      const gone = async (): Promise<boolean> =>
        (
          await home.run([
            "vm",
            "exec",
            name,
            "--",
            "pgrep",
            "-f",
            "^sleep 987",
          ])
        ).status === 1;
      await eventually("sleep is gone", gone, 20_000);
    });

    it("streams output while the command runs", async () => {
      const child = home.start([
        "vm",
        "exec",
        name,
        "--",
        "sh",
        "-c",
        "echo first; sleep 987",
      ]);
      const first = await new Promise<Buffer>((done) =>
        child.stdout.once("data", done),
      );
      expect(first.toString()).toBe("first\n");
      expect(child.exitCode).toBeNull();
      child.kill("SIGKILL");
    });

    it("uses 125 for its own failures", async () => {
      expect(
        (await home.run(["vm", "exec", "no-such-vm", "--", "true"])).status,
      ).toBe(125);
      expect(
        (await home.run(["vm", "exec", name, "--", "no-such-program"])).status,
      ).toBe(127);
    });
  });

  it("deletes an ephemeral VM whose client was killed", async () => {
    const child = home.start([
      "vm",
      "run",
      "--rm",
      "--name",
      "orphan",
      "--",
      "sh",
      "-c",
      "echo up; sleep 600",
    ]);
    await new Promise((done) => child.stdout.once("data", done));
    child.kill("SIGKILL");
    const gone = async (): Promise<boolean> =>
      (await home.run(["vm", "show", "orphan", "--json"])).status === 1;
    await eventually("the orphan is gone", gone);
  });

  it("cancels a start on Ctrl-C and removes everything", async () => {
    const child = home.start([
      "vm",
      "run",
      "--name",
      "cancelled",
      "--",
      "true",
    ]);
    // Beside the one of the VM that runs.
    await eventually("the guest boots", () =>
      Promise.resolve(vmmPids(home.path).length > 1),
    );
    child.kill("SIGINT");
    expect(await new Promise((done) => child.on("exit", done))).toBe(130);
    // At once: whoever tries again must find the name free.
    expect((await home.run(["vm", "show", "cancelled"])).status).toBe(1);
  });

  it("leaves nothing of the deleted VMs", async () => {
    await home.ok(["vm", "delete", "detached-one"]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });
});
