import { execFile } from "node:child_process";
import { mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { promisify } from "node:util";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
} from "@banger/host/client";
import { describe, expect, it } from "vitest";
import { Interruption } from "../src/io.js";
import { operation, refusal, startFakeDaemon } from "./fake-daemon.js";
import { run } from "./run.js";
import { sampleVm } from "./sample-vm.js";
import { temporaryDirectory } from "./temporary-directory.js";

const vm = sampleVm();
const done = (value: unknown = vm) =>
  operation({ type: "result", value, elapsedMs: 1234 });

/** A guest that ends every command with this status after it has said what it was asked. */
const guest =
  (exitCode: number, starts: unknown[] = []) =>
  (socket: Duplex): void => {
    const decoder = new FrameDecoder();
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      for (const { channel, payload } of decoder.push(chunk)) {
        if (channel !== Channel.control) continue;
        const message = JSON.parse(payload.toString()) as { type: string };
        if (message.type === "start") starts.push(message);
        else {
          socket.write(encodeFrame(Channel.stdout, Buffer.from("out\n")));
          socket.end(encodeControl({ type: "exit", exitCode }));
        }
      }
    });
  };

describe("wrong usage", () => {
  it.each<[string, string]>([
    ["vm lst", "Did you mean list?"],
    ["vn list", "Known: "],
    ["vmm list", "Did you mean vm?"],
    ["doctr", "Did you mean doctor?"],
    ["vm", "One of: run"],
    ["vm list --jsn", "Did you mean --json?"],
    ["vm run --memry 2G", "Did you mean --memory?"],
    ["vm list -x", "unknown flag -x"],
    ["vm list extra", "unexpected argument"],
    ["vm list --no-json", "unknown flag --no-json"],
    ["vm run --vcpu many", "not a whole number"],
    ["vm run --memory lots", "not a size"],
    ["vm run --memory 0", "not a size"],
    ["vm run --name a --name b", "more than once"],
    ["vm run --name", "--name needs a value"],
    ["vm run --accel magic", '--accel cannot be "magic"'],
    ["vm run --accel xen", "Known: auto, emulate, kvm"],
    ["vm run --accel kmv", "Did you mean kvm?"],
    ["vm run -d --rm", "exclude each other"],
    ["vm run -d -- ls", "exclude each other"],
    ["vm run /does/not/exist", "there is nothing at"],
    ["vm exec web", "the command is missing"],
    ["vm exec web ls -l", "unknown flag -l"],
    ["vm exec web ls", "comes after --"],
    ["vm exec", "Usage: banger vm exec <vm> [options] -- <command..>"],
    ["vm show", "<vm> is missing"],
    ["vm delete", "Usage: banger vm delete <vm..> [options]"],
    ["image show", "<image> is missing"],
    ["completion", "<shell> is missing"],
    ["vm kil --help", "Did you mean kill?"],
    ["kill web", "Did you mean vm kill?"],
    ["vm kill", "<vm> is missing"],
    ["vm kill web -s STOP", "no signal for a VMM"],
    ["vm kill web -s sigtrm", "Did you mean TERM?"],
    ["vm stop", "banger vm stop --all"],
    ["vm stop --all web", "exclude each other"],
    ["vm restart", "<vm> is missing"],
    ["vm touch", "<vm> is missing"],
    ["vm prune web", "unexpected argument"],
    ["vm set web db --name x", "one VM at a time"],
    ["vm set web --name", "--name needs a value"],
    ["vm rm web", "Did you mean delete?"],
    ["image ls", "Did you mean list?"],
    ["rm web", "Did you mean vm delete?"],
    ["run -h", "Did you mean vm run?"],
    ["--verbose ps", "unknown flag --verbose"],
    ["vm --verbose list", "unknown flag --verbose"],
    ["vm exec web ls -la /", "banger vm exec web -- ls -la /"],
    ["vm exec web --cwd /tmp ls", "banger vm exec web --cwd /tmp -- ls"],
    ["vm run . make -j4", "banger vm run . -- make -j4"],
    ["vm run --rm ls", "banger vm run --rm -- ls\n"],
    ["vm run --name ls ls", "banger vm run --name ls -- ls\n"],
    ["vm run ls -qa", "banger vm run -- ls -qa"],
    ["vm run ./ls", "Name a directory inside"],
    ["vm run -t -- top", "-t needs a terminal on stdin"],
    ["vm exec web -t -- top", "-t needs a terminal on stdin"],
    ["vm run -d -t", "exclude each other"],
    ["vm set web", "nothing to change"],
    ["vm set web --nat --no-nat", "exclude each other"],
    ["vm list -- ls", "takes no command"],
    ["vm logs web -n 0", "1 to 100000"],
    ["completion tcsh", "Known: bash, fish, zsh"],
    ["--nonsense", "unknown flag --nonsense"],
  ])("%s exits 2 and says why", async (line, expected) => {
    const home = await temporaryDirectory();
    const { status, stdout, stderr } = await run(line.split(" "), { home });
    expect(stderr).toContain(expected);
    expect(stdout).toBe("");
    expect(status).toBe(2);
  });
});

describe("help and version", () => {
  it("need no daemon", async () => {
    const home = await temporaryDirectory();
    expect(await run(["--version"], { home })).toMatchObject({
      status: 0,
      stdout: "9.8.7\n",
    });
    expect((await run([], { home })).stdout).toContain("banger vm");
    const help = await run(["vm", "run", "--help"], { home });
    expect(help.status).toBe(0);
    expect(help.stdout).toContain("Examples:");
    expect(help.stdout).toContain("--disk-size");
    const json = await run(["version", "--json"], { home });
    expect(JSON.parse(json.stdout)).toMatchObject({ build: "abcdefabcdef" });
  });

  it("leaves --help behind -- to the guest", async () => {
    const home = await temporaryDirectory();
    const starts: unknown[] = [];
    await startFakeDaemon(home, {}, guest(0, starts));
    const argv = ["vm", "exec", "web", "--", "ls", "--help", "-1"];
    expect((await run(argv, { home })).status).toBe(0);
    expect(starts).toMatchObject([{ argv: ["ls", "--help", "-1"] }]);
  });
});

describe("vm list", () => {
  it("shows running VMs, all, ids, or JSON", async () => {
    const home = await temporaryDirectory();
    const stopped = sampleVm({ name: "old", state: "stopped" });
    await startFakeDaemon(home, { "GET /v1/vms": [vm, stopped] });
    const list = async (...more: string[]): Promise<string> =>
      (await run(["ps", ...more], { home })).stdout;
    expect(await list()).not.toContain("old");
    expect(await list("-a")).toContain("old");
    expect(await list("-q")).toBe(`${vm.id}\n`);
    expect(JSON.parse(await list("--json"))).toEqual([vm]);
  });
});

describe("vm exec", () => {
  it("passes the guest's status on, and has 125 for its own failures", async () => {
    const home = await temporaryDirectory();
    await startFakeDaemon(home, {}, guest(2));
    const argv = ["vm", "exec", "web", "--", "ls"];
    expect(await run(argv, { home })).toMatchObject({
      status: 2,
      stdout: "out\n",
      stderr: "",
    });
    const other = await temporaryDirectory();
    expect(await run(argv, { home: other })).toMatchObject({ status: 125 });
  });

  it("exits 130 when it is interrupted", async () => {
    const home = await temporaryDirectory();
    const abort = new AbortController();
    await startFakeDaemon(home, {}, () => {
      abort.abort(new Interruption("SIGINT", 130));
    });
    const argv = ["vm", "exec", "web", "--", "ls"];
    const ended = await run(argv, { home, signal: abort.signal });
    expect(ended).toEqual({ status: 130, stdout: "", stderr: "" });
  });
});

describe("--cwd", () => {
  it.each([
    ["site", "/root/site"],
    ["../srv", "/srv"],
    ["/srv", "/srv"],
  ])("%s is %s in the guest", async (given, expected) => {
    const home = await temporaryDirectory();
    const starts: unknown[] = [];
    await startFakeDaemon(home, {}, guest(0, starts));
    await run(["vm", "exec", "web", "--cwd", given, "--", "ls"], { home });
    expect(starts).toMatchObject([{ cwd: expected }]);
  });

  it("has no NUL", async () => {
    const home = await temporaryDirectory();
    const argv = ["vm", "exec", "web", "--cwd", "a\0b", "--", "ls"];
    const ended = await run(argv, { home });
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain("NUL");
  });
});

describe("--tty", () => {
  it.each([
    [["vm", "exec", "web", "-t", "--", "top"], true],
    [["vm", "exec", "web", "--", "top"], false],
    [["vm", "run", "-t", "--", "top"], true],
    [["vm", "run", "--", "top"], false],
  ])("%j gives a terminal: %s", async (argv, expected) => {
    const home = await temporaryDirectory();
    const starts: unknown[] = [];
    const answers = { "POST /v1/vms": done() };
    await startFakeDaemon(home, answers, guest(0, starts));
    expect((await run(argv, { home, terminal: true })).status).toBe(0);
    expect(starts).toHaveLength(1);
    expect(Object.hasOwn(starts[0] as object, "terminal")).toBe(expected);
  });
});

describe("an interruption", () => {
  const interrupted = async (
    argv: readonly string[],
    method: string,
    path: string,
    signal = "SIGINT",
  ): Promise<{ status: number; stderr: string }> => {
    const home = await temporaryDirectory();
    const abort = new AbortController();
    await startFakeDaemon(home, {
      [`${method} ${path}`]: () => {
        abort.abort(new Interruption(signal, 130));
      },
    });
    return run(argv, { home, signal: abort.signal });
  };

  it("of an operation is one line, and JSON with --json", async () => {
    const argv = ["vm", "create"];
    const ended = await interrupted(argv, "POST", "/v1/vms");
    expect(ended).toMatchObject({ status: 130, stderr: "cancelled\n" });
    const json = await interrupted([...argv, "--json"], "POST", "/v1/vms");
    expect(json.status).toBe(130);
    expect(JSON.parse(json.stderr)).toMatchObject({ code: "ERR_CANCELLED" });
  });

  it.each(["SIGPIPE", "SIGHUP"])("by %s is silent", async (signal) => {
    const argv = ["vm", "create"];
    const ended = await interrupted(argv, "POST", "/v1/vms", signal);
    expect(ended.stderr).toBe("");
  });

  it("ends following with 130 and without a word", async () => {
    const argv = ["vm", "logs", "-f", "web"];
    const ended = await interrupted(argv, "GET", "/v1/vms/web/logs");
    expect(ended).toMatchObject({ status: 130, stderr: "" });
  });
});

describe("vm run", () => {
  it("creates, runs, deletes with --rm, and passes the status on", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(
      home,
      { "POST /v1/vms": done(), [`DELETE /v1/vms/${vm.id}`]: done() },
      guest(3),
    );
    const line =
      "vm run --rm --name web --vcpu 2 --memory 2G --disk-size 9G --nat --plugin a --plugin b --no-plugin c --accel kvm -- ls";
    const ended = await run(line.split(" "), { home });
    expect(ended.status).toBe(3);
    expect(ended.stdout).toBe("out\n");
    expect(ended.stderr).toContain("ready in 1.2 s: web");
    expect(requests.map(({ method }) => method)).toEqual(["POST", "DELETE"]);
    expect(requests[0]?.body).toEqual({
      name: "web",
      vcpus: 2,
      memory: "2G",
      diskSize: "9G",
      nat: true,
      plugins: ["a", "b"],
      withoutPlugins: ["c"],
      accel: "kvm",
      ephemeral: true,
    });
  });

  it("deletes after an interruption too", async () => {
    const home = await temporaryDirectory();
    const abort = new AbortController();
    const { requests } = await startFakeDaemon(
      home,
      { "POST /v1/vms": done(), [`DELETE /v1/vms/${vm.id}`]: done() },
      () => abort.abort(new Interruption("SIGTERM", 143)),
    );
    const argv = ["vm", "run", "--rm", "--", "sleep", "9"];
    const ended = await run(argv, { home, signal: abort.signal });
    expect(ended.status).toBe(143);
    expect(requests.at(-1)?.method).toBe("DELETE");
  });

  it("keeps the VM without --rm and says so", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(
      home,
      { "POST /v1/vms": done() },
      guest(0),
    );
    const ended = await run(["vm", "run", "--", "ls"], { home });
    expect(ended.stderr).toContain("banger vm delete web");
    expect(requests).toHaveLength(1);
    const argv = ["vm", "run", "--json", "--", "ls"];
    const json = await run(argv, { home });
    expect(JSON.parse(json.stderr)).toEqual({
      vm,
      exitCode: 0,
      note: "web still runs; delete it with: banger vm delete web",
    });
  });

  it("prints name or record when detached", async () => {
    const home = await temporaryDirectory();
    await startFakeDaemon(home, { "POST /v1/vms": done() });
    const text = await run(["vm", "run", "-d"], { home });
    expect(text).toMatchObject({ status: 0, stdout: "web\n" });
    const json = await run(["vm", "run", "-d", "--json"], { home });
    expect(JSON.parse(json.stdout)).toEqual(vm);
    expect(json.stderr).toBe("");
  });

  describe("with a repository", () => {
    const execFiles = promisify(execFile);

    async function repository(home: string): Promise<string> {
      const top = join(home, "repo");
      await mkdir(top);
      await writeFile(join(top, "f"), "");
      await execFiles("git", ["-C", top, "init", "-q"]);
      await execFiles("git", ["-C", top, "add", "f"]);
      return top;
    }

    it("says that the VM runs when the copy fails, also when detached", async () => {
      const home = await temporaryDirectory();
      const top = await repository(home);
      const env = { PATH: process.env["PATH"] ?? "" };
      await startFakeDaemon(home, { "POST /v1/vms": done() }, guest(1));
      const ended = await run(["vm", "run", "-d", top], { home, env });
      expect(ended).toMatchObject({ status: 1, stdout: "" });
      expect(ended.stderr).toContain("ERR_WORKSPACE_COPY");
      expect(ended.stderr).toContain("web still runs");
      const argv = ["vm", "run", "-d", "--json", top];
      const json = await run(argv, { home, env });
      const lines = json.stderr.trimEnd().split("\n");
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
        {
          vm,
          note: "web still runs; delete it with: banger vm delete web",
        },
        expect.objectContaining({ code: "ERR_WORKSPACE_COPY" }),
      ]);
    });

    it("copies nothing when a directory became a symlink meanwhile", async () => {
      const home = await temporaryDirectory();
      const top = await repository(home);
      await mkdir(join(top, "d"));
      await writeFile(join(top, "d", "id"), "");
      await execFiles("git", ["-C", top, "add", "d"]);
      const starts: unknown[] = [];
      await startFakeDaemon(
        home,
        {
          "POST /v1/vms": async (
            ...call: Parameters<ReturnType<typeof done>>
          ) => {
            await rename(join(top, "d"), join(home, "elsewhere"));
            await symlink("../elsewhere", join(top, "d"));
            return done()(...call);
          },
        },
        guest(0, starts),
      );
      const ended = await run(["vm", "run", top, "--", "ls"], { home });
      expect(ended.stderr).toContain("ERR_WORKSPACE_CHANGED");
      expect(ended.stderr).toContain("d/id");
      expect(starts).toEqual([]);
    });

    it("names what it leaves out, without what steers a terminal", async () => {
      const home = await temporaryDirectory();
      const top = await repository(home);
      await mkdir(join(top, "d"));
      await writeFile(join(top, "d", "\u001b[2Jid"), "");
      await execFiles("git", ["-C", top, "add", "d"]);
      await rename(join(top, "d"), join(home, "elsewhere"));
      await symlink("../elsewhere", join(top, "d"));
      await startFakeDaemon(home, { "POST /v1/vms": done() }, guest(0));
      const ended = await run(["vm", "run", "-d", top], { home });
      expect(ended.status).toBe(0);
      expect(ended.stderr).toContain("1 files copied");
      expect(ended.stderr).toContain("not in the copy: d/[2Jid");
    });
  });

  it("keeps the guest's status and the first error when --rm cannot delete", async () => {
    const home = await temporaryDirectory();
    const stuck = operation({
      type: "error",
      error: { code: "ERR_STUCK", kind: "failed", message: "disk is busy" },
    });
    const answers = {
      "POST /v1/vms": done(),
      [`DELETE /v1/vms/${vm.id}`]: stuck,
    };
    await startFakeDaemon(home, answers, guest(3));
    const argv = ["vm", "run", "--rm", "--", "ls"];
    const ended = await run(argv, { home });
    expect(ended).toMatchObject({ status: 3, stdout: "out\n" });
    expect(ended.stderr).toContain("warning: web is not deleted: disk is busy");
    expect(ended.stderr).toContain("banger vm delete web");

    const other = await temporaryDirectory();
    await startFakeDaemon(other, answers, (socket) => {
      const error = { code: "ERR_SSH", kind: "unavailable", message: "no" };
      socket.end(encodeControl({ type: "error", error }));
    });
    const failed = await run(argv, { home: other });
    expect(failed.status).toBe(125);
    expect(failed.stderr).toContain("ERR_SSH");
    expect(failed.stderr).toContain("ERR_STUCK");
  });

  it("asks for nothing when the path is no repository", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(home, {});
    const ended = await run(["vm", "run", ".", "--", "ls"], { home });
    expect(ended.status).toBe(2);
    expect(ended.stderr).toContain("ERR_NOT_A_REPOSITORY");
    expect(requests).toEqual([]);
  });

  it("names the apt-get line when packages are missing and nobody agrees", async () => {
    const home = await temporaryDirectory();
    await startFakeDaemon(home, {
      "POST /v1/vms": operation({
        type: "error",
        error: {
          code: "ERR_HOST_PACKAGES_MISSING",
          kind: "unavailable",
          message: "this host lacks 1 packages: qemu-utils",
          hint: "Run: apt-get install qemu-utils",
          details: ["qemu-utils: disks"],
        },
      }),
      "GET /v1/setup": {
        missing: [
          { program: "qemu-img", packageName: "qemu-utils", purpose: "disks" },
        ],
        present: [],
        install: ["apt-get", "install", "qemu-utils"],
      },
    });
    const ended = await run(["vm", "run", "-d"], { home });
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain("disks");
    expect(ended.stderr).toContain("Run: apt-get install qemu-utils");
  });

  it("installs with --yes and goes on", async () => {
    const home = await temporaryDirectory();
    const installer = ["sh", "-c", `echo installing; touch ${home}/done`];
    let refused = 0;
    await startFakeDaemon(home, {
      "POST /v1/vms": (...call: Parameters<ReturnType<typeof done>>) =>
        refused++ === 0
          ? refusal(503, {
              code: "ERR_HOST_PACKAGES_MISSING",
              kind: "unavailable",
              message: "lacks",
            })(...call)
          : done()(...call),
      "GET /v1/setup": {
        missing: [{ program: "p", packageName: "p", purpose: "purpose" }],
        present: [],
        install: installer,
      },
    });
    const ended = await run(["vm", "run", "-d", "--yes"], {
      home,
      env: { PATH: process.env["PATH"] ?? "" },
    });
    expect(ended).toMatchObject({ status: 0, stdout: "web\n" });
    expect(ended.stderr).toContain("installing");
  });
});

describe("several VMs", () => {
  const db = sampleVm({ name: "db", id: "ba9876543210" as typeof vm.id });

  it("are served once each, and also when others fail", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(home, {
      "GET /v1/vms": [vm, db],
      [`DELETE /v1/vms/${vm.id}`]: done(),
      [`DELETE /v1/vms/${db.id}`]: operation({
        type: "error",
        error: { code: "ERR_X", kind: "failed", message: "no way" },
      }),
    });
    const argv = ["vm", "delete", "web", "0123", "db", "nobody"];
    const ended = await run(argv, { home });
    expect(ended.status).toBe(1);
    expect(ended.stdout).toBe("web\n");
    expect(ended.stderr).toContain("ERR_X");
    expect(ended.stderr).toContain("ERR_VM_NOT_FOUND");
    expect(requests.filter(({ method }) => method === "DELETE")).toHaveLength(
      2,
    );
  });

  it("have the code that all failures have, and count each once", async () => {
    const home = await temporaryDirectory();
    await startFakeDaemon(home, {
      "GET /v1/vms": [vm],
      [`DELETE /v1/vms/${vm.id}`]: done(),
    });
    const argv = ["vm", "delete", "web", "0123", "nobody", "nobody", "none"];
    const ended = await run(argv, { home });
    expect(ended.stderr).toContain("2 of 3 failed");
    expect(ended.stderr).toMatch(/^\[ERR_VM_NOT_FOUND\]$/m);
    const single = await run(["vm", "delete", "none", "none"], { home });
    expect(single.stderr).not.toContain("failed");
  });

  it("says when there was nothing to do", async () => {
    const home = await temporaryDirectory();
    const old = sampleVm({ name: "old", id: db.id, state: "stopped" });
    await startFakeDaemon(home, {
      "GET /v1/vms": [vm, old],
      [`POST /v1/vms/${vm.id}/start`]: done(),
      [`POST /v1/vms/${vm.id}/stop`]: done(),
      [`POST /v1/vms/${old.id}/start`]: done(),
      [`POST /v1/vms/${old.id}/stop`]: done(),
    });
    const start = await run(["vm", "start", "web", "old"], { home });
    expect(start.stderr).toContain("already running: web\n");
    expect(start.stderr).toContain("ready in 1.2 s: old\n");
    const stop = await run(["vm", "stop", "web", "old"], { home });
    expect(stop.stderr).toBe("already stopped: old\n");
  });

  it("says of a VM whose start it cancelled not that it was stopped already", async () => {
    const home = await temporaryDirectory();
    const old = sampleVm({ name: "old", id: db.id, state: "stopped" });
    const cancelled = operation(
      { type: "progress", stage: "cancel", text: "x", elapsedMs: 1 },
      { type: "result", value: old, elapsedMs: 1234 },
    );
    await startFakeDaemon(home, {
      "GET /v1/vms": [old],
      [`POST /v1/vms/${old.id}/stop`]: cancelled,
      [`POST /v1/vms/${old.id}/kill`]: cancelled,
    });
    for (const verb of ["stop", "kill"]) {
      const { status, stderr } = await run(["vm", verb, "old"], { home });
      expect(status).toBe(0);
      expect(stderr).not.toContain("already");
    }
  });

  it("keeps the kind of a single failure", async () => {
    const home = await temporaryDirectory();
    const web2 = sampleVm({ name: "web2", id: db.id });
    const web1 = sampleVm({ name: "web1" });
    await startFakeDaemon(home, { "GET /v1/vms": [web1, web2] });
    const argv = ["vm", "stop", "web", "--json"];
    const ended = await run(argv, { home }).catch(String);
    expect(ended).toMatchObject({ status: 2, stdout: "" });
    const ambiguous = await run(["vm", "stop", "web"], { home });
    expect(ambiguous.stderr).toContain("ERR_VM_AMBIGUOUS");
    expect(ambiguous.status).toBe(2);
  });
});

describe("errors", () => {
  it("are JSON on stderr with --json", async () => {
    const home = await temporaryDirectory();
    const report = {
      code: "ERR_VM_NOT_FOUND",
      kind: "not-found",
      message: "no VM",
    };
    await startFakeDaemon(home, { "GET /v1/vms/x": refusal(404, report) });
    const ended = await run(["vm", "show", "x", "--json"], { home });
    expect(JSON.parse(ended.stderr)).toEqual(report);
    expect(ended).toMatchObject({ status: 1, stdout: "" });
  });

  it("of a daemon that cannot start are its own, and exit 1", async () => {
    const home = await temporaryDirectory();
    const report = JSON.stringify({
      code: "ERR_CONFIG_SYNTAX",
      kind: "usage",
      message: "config.toml:3",
    });
    const ended = await run(["vm", "list"], {
      home,
      daemonArgs: [
        "-e",
        `console.error(${JSON.stringify(report)}); process.exit(1)`,
      ],
    });
    expect(ended.stderr).toContain("config.toml:3");
    expect(ended.status).toBe(1);
  });
});

describe("doctor", () => {
  it("exits 1 when a check fails, and shows the fix", async () => {
    const home = await temporaryDirectory();
    const check = { id: "a.b", title: "thing", detail: "seen", fix: "do it" };
    const sections = (status: string): unknown => [
      { section: "host", checks: [{ ...check, status }] },
    ];
    const answers = { "GET /v1/doctor": sections("warn") };
    await startFakeDaemon(home, answers);
    expect((await run(["doctor"], { home })).status).toBe(0);
    answers["GET /v1/doctor"] = sections("fail");
    const failed = await run(["doctor"], { home });
    expect(failed.status).toBe(1);
    expect(failed.stdout).toContain("fix: do it");
  });
});

describe("daemon", () => {
  it("is looked at, stopped and read without being started", async () => {
    const home = await temporaryDirectory();
    const daemonArgs = ["-e", "process.exit(3)"];
    const at = { home, daemonArgs };
    const status = await run(["daemon", "status", "--json"], at);
    expect(JSON.parse(status.stdout)).toEqual({ running: false });
    expect((await run(["daemon", "stop"], at)).status).toBe(0);
    const logs = await run(["daemon", "logs"], at);
    expect(logs).toMatchObject({ status: 0, stdout: "" });
    expect(logs.stderr).toContain("nothing is logged");
  });
});
