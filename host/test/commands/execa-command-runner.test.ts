import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Command } from "@banger/core";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { ParentDeath } from "../../src/commands/parent-death.js";
import { signalGroup } from "../../src/commands/process-group.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

/** Plays the daemon: starts a program in a group of its own and waits to be killed. */
const spawnsItsArguments = `
  const [file, ...args] = process.argv.slice(1);
  const { spawn } = require("node:child_process");
  const child = spawn(file, args, { detached: true, stdio: "ignore" });
  console.log(child.pid);
  setInterval(() => child.pid, 1000);
`;

const runner = new ExecaCommandRunner();

/** A shell script as a command; the shell is the program under test, not ours. */
function sh(script: string, rest: Partial<Command> = {}): Command {
  return { file: "sh", args: ["-c", script], timeoutMs: 30_000, ...rest };
}

async function pidsIn(file: string): Promise<readonly number[]> {
  return (await readFile(file, "utf8")).trim().split(/\s+/).map(Number);
}

/** Running, and not only waiting to be reaped. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid.toString()}/stat`, "utf8").catch(
    () => "",
  );
  return stat !== "" && !/\) [ZX] /.test(stat);
}

async function waitForFile(file: string, lines: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const text = await readFile(file, "utf8");
      expect(text.trim().split("\n")).toHaveLength(lines);
    },
    { timeout: 20_000, interval: 10 },
  );
}

describe("run", () => {
  it("returns status and both outputs", async () => {
    const result = await runner.run(sh("printf 'ä\\n'; echo err >&2"));
    expect(result).toEqual({ exitCode: 0, stdout: "ä\n", stderr: "err\n" });
  });

  it("hands arguments on unchanged, without a shell", async () => {
    const args = ["%s|%s", "$HOME; `id`", "a b"];
    const { stdout } = await runner.run({
      file: "/usr/bin/printf",
      args,
      timeoutMs: 30_000,
    });
    expect(stdout).toBe("$HOME; `id`|a b");
  });

  it("fails for another status, with the end of stderr", async () => {
    const failing = sh(
      "for i in 1 2 3 4 5 6 7 8; do echo line $i >&2; done; exit 3",
    );
    await expect(runner.run(failing)).rejects.toMatchObject({
      code: "ERR_COMMAND_FAILED",
      exitCode: 3,
      message: expect.stringContaining("sh failed with status 3") as string,
      stderrTail: "line 3\nline 4\nline 5\nline 6\nline 7\nline 8",
    });
  });

  it("accepts the statuses that the caller names", async () => {
    const command = sh("exit 3", { okExitCodes: [0, 3] });
    expect((await runner.run(command)).exitCode).toBe(3);
    await expect(
      runner.run(sh("exit 0", { okExitCodes: [3] })),
    ).rejects.toMatchObject({ exitCode: 0 });
  });

  it("names the signal that ended the program", async () => {
    await expect(runner.run(sh("kill -SEGV $$"))).rejects.toMatchObject({
      code: "ERR_COMMAND_FAILED",
      exitCode: undefined,
      message: expect.stringContaining("SIGSEGV") as string,
    });
  });

  it("gives an empty standard input unless there is one", async () => {
    const cat = { file: "cat", args: [], timeoutMs: 30_000 };
    expect((await runner.run(cat)).stdout).toBe("");
    expect((await runner.run({ ...cat, input: "text" })).stdout).toBe("text");
    const bytes = new Uint8Array(300_000).fill(65);
    const { stdout } = await runner.run({ ...cat, input: bytes });
    expect(stdout).toHaveLength(300_000);
  });

  it("does not mind a program that leaves its input unread", async () => {
    const { exitCode } = await runner.run({
      file: "true",
      args: [],
      timeoutMs: 30_000,
      input: "x".repeat(1_000_000),
    });
    expect(exitCode).toBe(0);
  });

  it("sets working directory and environment", async () => {
    const cwd = await temporaryDirectory();
    const { stdout } = await runner.run(
      sh('echo "$PWD $EXTRA $LC_ALL"; echo "$PATH"', {
        cwd,
        env: { EXTRA: "more" },
      }),
    );
    const [first, path] = stdout.split("\n");
    expect(first).toBe(`${cwd} more C.UTF-8`);
    expect(path?.split(":")).toEqual(
      expect.arrayContaining(["/usr/sbin", "/sbin", "/usr/local/sbin"]),
    );
  });

  it("says that a program is missing", async () => {
    for (const file of ["no-such-program", "/no/such/program"]) {
      await expect(
        runner.run({ file, args: [], timeoutMs: 1000 }),
      ).rejects.toMatchObject({ code: "ERR_TOOL_MISSING" });
    }
  });

  it("tells a program that cannot start from a missing one", async () => {
    const directory = await temporaryDirectory();
    const script = join(directory, "script");
    await writeFile(script, "#!/no/such/interpreter\n", { mode: 0o755 });
    for (const command of [
      { file: script, args: [], timeoutMs: 1000 },
      sh("true", { cwd: join(directory, "absent") }),
    ]) {
      await expect(runner.run(command)).rejects.toMatchObject({
        code: "ERR_COMMAND_FAILED",
        message: expect.stringContaining("could not be started") as string,
      });
    }
  });

  it("ends the whole group at the time limit, though the pipes are held and SIGTERM is ignored", async () => {
    const pids = join(await temporaryDirectory(), "pids");
    const script = `trap '' TERM; (trap '' TERM; echo $(exec sh -c 'echo $PPID') >> ${pids}; while :; do sleep 1; done) & echo $$ >> ${pids}; wait; while :; do sleep 1; done`;
    await expect(
      runner.run(sh(script, { timeoutMs: 1000 })),
    ).rejects.toMatchObject({
      code: "ERR_COMMAND_FAILED",
      exitCode: undefined,
      message: expect.stringContaining("did not end within 1 s") as string,
    });
    const found = await pidsIn(pids);
    expect(found).toHaveLength(2);
    for (const pid of found) expect(await isRunning(pid)).toBe(false);
  }, 30_000);

  it("lets a program end in peace after SIGTERM", async () => {
    const directory = await temporaryDirectory();
    const script = `trap 'echo bye > ${directory}/bye; exit 0' TERM; while :; do sleep 0.1; done`;
    await expect(
      runner.run(sh(script, { timeoutMs: 500 })),
    ).rejects.toMatchObject({ code: "ERR_COMMAND_FAILED" });
    expect(await readFile(join(directory, "bye"), "utf8")).toBe("bye\n");
  }, 30_000);

  it("ends the whole group on abort", async () => {
    const pids = join(await temporaryDirectory(), "pids");
    const abort = new AbortController();
    const running = runner.run(
      sh(`sleep 1000 & echo $! >> ${pids}; echo $$ >> ${pids}; wait`, {
        signal: abort.signal,
      }),
    );
    const settled = expect(running).rejects.toMatchObject({
      code: "ERR_CANCELLED",
      cause: "enough",
    });
    await waitForFile(pids, 2);
    abort.abort("enough");
    await settled;
    for (const pid of await pidsIn(pids))
      expect(await isRunning(pid)).toBe(false);
  }, 30_000);

  it("starts nothing when it is cancelled already", async () => {
    const marker = join(await temporaryDirectory(), "marker");
    const command = sh(`touch ${marker}`, { signal: AbortSignal.abort() });
    await expect(runner.run(command)).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
    await expect(readFile(marker)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("settles when a background process holds the pipes, and leaves it alone", async () => {
    const pids = join(await temporaryDirectory(), "pids");
    const { stdout } = await runner.run(
      sh(`sleep 1000 & echo $! > ${pids}; echo done`),
    );
    expect(stdout).toBe("done\n");
    const [pid] = await pidsIn(pids);
    expect(await isRunning(pid!)).toBe(true);
    process.kill(pid!, "SIGKILL");
  }, 30_000);

  it("leaves no background process of a failure", async () => {
    const pids = join(await temporaryDirectory(), "pids");
    await expect(
      runner.run(sh(`sleep 1000 & echo $! > ${pids}; exit 1`)),
    ).rejects.toMatchObject({ exitCode: 1 });
    const [pid] = await pidsIn(pids);
    await vi.waitFor(async () => expect(await isRunning(pid!)).toBe(false), {
      timeout: 20_000,
    });
  }, 30_000);

  it("fails for too much output on either stream, and ends the program", async () => {
    const pids = join(await temporaryDirectory(), "pids");
    for (const stream of ["stdout", "stderr"]) {
      const redirect = stream === "stderr" ? ">&2" : "";
      await expect(
        runner.run(
          sh(`echo $$ >> ${pids}; exec yes ${redirect}`, {
            maxOutputBytes: 10_000,
          }),
        ),
      ).rejects.toMatchObject({
        code: "ERR_COMMAND_FAILED",
        message: expect.stringContaining(
          `wrote more than 10000 bytes to ${stream}`,
        ) as string,
      });
    }
    for (const pid of await pidsIn(pids))
      expect(await isRunning(pid)).toBe(false);
  }, 30_000);

  it("keeps output up to the limit, which defaults to 1 MiB", async () => {
    const bytes = (count: number): Command => ({
      file: "head",
      args: ["-c", count.toString(), "/dev/zero"],
      timeoutMs: 30_000,
    });
    const { stdout } = await runner.run(bytes(2 ** 20));
    expect(stdout).toHaveLength(2 ** 20);
    await expect(runner.run(bytes(2 ** 20 + 1))).rejects.toMatchObject({
      code: "ERR_COMMAND_FAILED",
    });
  });

  it("hands on each line as it comes, before the program ends", async () => {
    const go = join(await temporaryDirectory(), "go");
    const lines: string[] = [];
    const { stdout } = await runner.run(
      sh(
        `echo first; while ! [ -e ${go} ]; do sleep 0.02; done; printf second`,
        {
          onLine: (line) => {
            lines.push(line);
            if (line === "first") void writeFile(go, "");
          },
        },
      ),
    );
    expect(lines).toEqual(["first", "second"]);
    expect(stdout).toBe("first\nsecond");
  });

  it("fails with what the line callback throws, and ends the program", async () => {
    const pids = join(await temporaryDirectory(), "pids");
    await expect(
      runner.run(
        sh(`echo $$ > ${pids}; echo line; sleep 1000`, {
          onLine: () => {
            throw new Error("callback broke");
          },
        }),
      ),
    ).rejects.toThrow("callback broke");
    const [pid] = await pidsIn(pids);
    expect(await isRunning(pid!)).toBe(false);
  }, 30_000);

  it("leaves no listener on a signal that outlives it", async () => {
    const { signal } = new AbortController();
    const add = vi.spyOn(signal, "addEventListener");
    const remove = vi.spyOn(signal, "removeEventListener");
    await runner.run(sh("true", { signal }));
    expect(add).toHaveBeenCalled();
    expect(remove).toHaveBeenCalledTimes(add.mock.calls.length);
  });

  it("keeps output that waits in the pipe while this process is busy", async () => {
    const directory = await temporaryDirectory();
    const [go, done] = [join(directory, "go"), join(directory, "done")];
    const block = (): void => {
      writeFileSync(go, "");
      // Longer than the quiet time, so that its timer and the output become due together.
      const until = performance.now() + 400;
      while (performance.now() < until || !existsSync(done));
    };
    const { stdout } = await runner.run(
      sh(
        `(while ! [ -e ${go} ]; do sleep 0.01; done; echo late; touch ${done}; exec sleep 5) & echo ready`,
        {
          onLine: (line) => {
            // After an immediate come timers, and only then input.
            if (line === "ready") setTimeout(() => setImmediate(block), 100);
          },
        },
      ),
    );
    expect(stdout).toBe("ready\nlate\n");
  }, 30_000);
});

describe("a killed daemon", () => {
  it("takes its programs along, whose names, statuses and arguments stay what they are", async () => {
    const { stdout } = await runner.run({
      file: "setpriv",
      args: ["--dump"],
      timeoutMs: 30_000,
    });
    expect(stdout).toMatch(/death signal: \[?(SIG)?KILL/i);
    const { stdout: line } = await runner.run(
      sh("tr '\\0' ' ' < /proc/$$/cmdline"),
    );
    expect(line).toMatch(/^\/\S+\/sh -c tr /);
    expect(line).not.toContain("setpriv");
  });

  it("is followed by the program that it waited for", async () => {
    const sleeper = { file: "/bin/sleep", args: ["1000"] };
    const wrapped = await new ParentDeath().wrap(sleeper);
    // What the runner does, in plain JavaScript: a child process has no transpiler.
    const daemon = spawn(process.execPath, [
      ...["-e", spawnsItsArguments, wrapped.file, ...wrapped.args],
    ]);
    onTestFinished(() => {
      daemon.kill("SIGKILL");
    });
    const [chunk] = (await once(daemon.stdout, "data")) as [Buffer];
    const pid = Number(chunk.toString());
    await vi.waitFor(
      async () => {
        const line = await readFile(`/proc/${pid.toString()}/cmdline`, "utf8");
        expect(line).toBe("/bin/sleep\x001000\0");
      },
      { timeout: 20_000, interval: 10 },
    );
    daemon.kill("SIGKILL");
    await vi.waitFor(async () => expect(await isRunning(pid)).toBe(false), {
      timeout: 20_000,
      interval: 10,
    });
  }, 30_000);

  it("runs programs as they are where setpriv is not there or cannot", async () => {
    const directory = await temporaryDirectory();
    const command = { file: "/bin/true", args: ["x"] };
    const fake = join(directory, "setpriv");
    await writeFile(fake, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    vi.stubEnv("PATH", directory);
    try {
      expect(await new ParentDeath().wrap(command)).toEqual(command);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe("find", () => {
  it("looks through PATH in order and then the system's directories", async () => {
    const directory = await temporaryDirectory();
    const tool = join(directory, "banger-tool");
    await writeFile(tool, "#!/bin/sh\n", { mode: 0o755 });
    await writeFile(join(directory, "data"), "");
    await mkdir(join(directory, "folder"));
    vi.stubEnv("PATH", `relative:${directory}`);
    try {
      expect(await runner.find("banger-tool")).toBe(tool);
      expect(await runner.find("data")).toBeUndefined();
      expect(await runner.find("folder")).toBeUndefined();
      expect(await runner.find("")).toBeUndefined();
      expect(await runner.find("ldconfig")).toMatch(/\/sbin\/ldconfig$/);
      await chmod(tool, 0o644);
      expect(await runner.find("banger-tool")).toBeUndefined();
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe("signalGroup", () => {
  it("never reaches our own group, init or everything", () => {
    for (const group of [0, 1, -1, NaN])
      expect(() => signalGroup(group, 0)).toThrow("no process group");
  });
});
