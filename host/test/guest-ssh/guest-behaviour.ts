import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { GuestCommand, GuestProcess, VmRecord } from "@banger/core";
import { expect, it, vi } from "vitest";
import type { Ssh2GuestSsh } from "../../src/guest-ssh/ssh2-guest-ssh.js";
import { finish, readAll } from "./reading.js";

export interface Guest {
  readonly ssh: Ssh2GuestSsh;
  readonly vm: VmRecord;
}

const never = new AbortController().signal;
/** A zombie is dead; who reaps it is this machine's affair. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** What holds against every SSH server, the fake one and OpenSSH; the guest's processes are processes of this machine. */
export function describeCommands(
  guest: () => Guest,
  longestArgument: number,
): void {
  const exec = (command: GuestCommand, signal = never): Promise<GuestProcess> =>
    guest().ssh.exec(guest().vm, command, signal);
  const run = async (command: GuestCommand) => finish(await exec(command));
  const terminal = { type: "xterm", columns: 80, rows: 24 };

  it("hands every argument on unchanged", async () => {
    const args = [
      "",
      " ",
      "a b",
      "it's",
      "''",
      '"$HOME" `id` $(id) \\ \\n',
      "line\nbreak\n",
      "äöü 漢字 🚀",
      "-n",
      "--",
      "*",
      "!!",
      "a;b|c&d>e<f",
      "\t\r\u0001\u007f",
      "x".repeat(longestArgument),
    ];
    const { stdout, stderr, exit } = await run({
      argv: ["printf", "<%s>", ...args],
    });
    expect(stdout).toBe(args.map((arg) => `<${arg}>`).join(""));
    expect(stderr).toBe("");
    expect(exit).toEqual({ exitCode: 0 });
  });

  it("keeps outputs apart and passes the status", async () => {
    expect(
      await run({ argv: ["sh", "-c", "echo out; echo err >&2; exit 7"] }),
    ).toEqual({ stdout: "out\n", stderr: "err\n", exit: { exitCode: 7 } });
  });

  it("passes the status of many quick commands at once", async () => {
    const codes = Array.from({ length: 40 }, (_, i) => i);
    const exits = await Promise.all(
      codes.map(
        async (code) =>
          (await run({ argv: ["sh", "-c", `exit ${code}`] })).exit,
      ),
    );
    expect(exits).toEqual(codes.map((exitCode) => ({ exitCode })));
  }, 30_000);

  it("tells the signal that ended a process", async () => {
    expect((await run({ argv: ["sh", "-c", "kill -ABRT $$"] })).exit).toEqual({
      signal: "SIGABRT",
    });
  });

  it("says 127 for a program that is not there, whatever its name", async () => {
    for (const program of ["no-such-program", "-no", ""]) {
      const { exit, stderr } = await run({ argv: [program] });
      expect(exit).toEqual({ exitCode: 127 });
      expect(stderr).toContain("not found");
    }
  });

  it("runs in the working directory, or says 125", async () => {
    expect((await run({ argv: ["pwd"], cwd: "/usr/bin" })).stdout).toBe(
      "/usr/bin\n",
    );
    expect(
      await run({ argv: ["pwd"], cwd: "/no such 'dir'\\n" }),
    ).toMatchObject({
      stdout: "",
      stderr:
        "banger: cannot change to the directory /no such 'dir'\\n in the guest\n",
      exit: { exitCode: 125 },
    });
  });

  it("runs a login shell that reads its input", async () => {
    const shell = await exec({ cwd: "/tmp" });
    shell.stdin.end("pwd; shopt -q login_shell && echo login; exit 3\n");
    const { stdout, exit } = await finish(shell);
    expect(stdout).toBe("/tmp\nlogin\n");
    expect(exit).toEqual({ exitCode: 3 });
  });

  it("carries 100 MB there and back past a slow reader, in bounded memory", async () => {
    const total = 100 * (1 << 20);
    const block = Buffer.alloc(1 << 20, 7);
    let sent = 0;
    const source = new Readable({
      read() {
        if (sent >= total) this.push(null);
        else {
          sent += block.length;
          this.push(block);
        }
      },
    });
    const cat = await exec({ argv: ["cat"] });
    void readAll(cat.stderr);
    const writing = pipeline(source, cat.stdin);
    // Nobody reads: what was taken from the source is what all buffers on the way hold.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await pause(400);
    }
    expect(sent).toBeLessThan(20 * (1 << 20));
    let received = 0;
    for await (const chunk of cat.stdout) {
      const { length } = chunk as Buffer;
      received += length;
      expect(sent - received).toBeLessThan(20 * (1 << 20));
    }
    await writing;
    expect(received).toBe(total);
    expect(await cat.exit).toEqual({ exitCode: 0 });
  }, 60_000);

  it("drops input that the process does not want", async () => {
    const head = await exec({ argv: ["true"] });
    const writing = pipeline(
      Readable.from(
        (function* () {
          for (let i = 0; i < 500; i++) yield Buffer.alloc(1 << 16);
        })(),
      ),
      head.stdin,
    ).catch((error: unknown) => (error as NodeJS.ErrnoException).code);
    expect((await finish(head)).exit).toEqual({ exitCode: 0 });
    expect(await writing).toMatch(/^(EPIPE|ERR_STREAM_PREMATURE_CLOSE)$/);
  });

  // One output each: ssh2's server sends a chunk of one output twice when the other fills the window after it.
  it.each(["", " >&2"])(
    "does not hang on an output that its reader destroyed%s",
    async (redirection) => {
      const noisy = await exec({
        argv: ["sh", "-c", `head -c 20000000 /dev/zero${redirection}`],
      });
      noisy.stdout.destroy();
      noisy.stderr.destroy();
      expect(await noisy.exit).toEqual({ exitCode: 0 });
    },
  );

  it("ends a process with its group, and gently first", async () => {
    const process = await exec({
      argv: [
        "sh",
        "-c",
        "sleep 1000 & echo $! $$; trap 'echo bye; exit 4' TERM; wait",
      ],
    });
    let output = "";
    process.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const pids = await firstNumbers(process);
    await process.terminate();
    expect(await process.exit).toEqual({ exitCode: 4 });
    expect(output).toMatch(/bye\n$/);
    await vi.waitFor(() => expect(pids.some(isAlive)).toBe(false));
  });

  it("ends a group that ignores SIGTERM, from terminate and from the signal", async () => {
    const cancel = new AbortController();
    const argv = [
      "bash",
      "-c",
      "trap '' TERM; sleep 1000 & echo $! $$; while :; do wait; done",
    ];
    const processes = [
      await exec({ argv }),
      await exec({ argv }, cancel.signal),
    ];
    const pids = await Promise.all(processes.map(firstNumbers));
    expect(pids.flat().every(isAlive)).toBe(true);
    cancel.abort();
    await Promise.all([
      processes[0]!.terminate(),
      processes[0]!.terminate(),
      processes[1]!.exit,
    ]);
    for (const process of processes)
      expect(await process.exit).toEqual({ signal: "SIGKILL" });
    await vi.waitFor(() => expect(pids.flat().some(isAlive)).toBe(false));
  }, 20_000);

  it("ends what a process left behind in its group", async () => {
    const process = await exec({
      argv: ["sh", "-c", "sleep 1000 & echo $! $$; exit 0"],
    });
    const [sleeper] = await firstNumbers(process);
    await process.terminate();
    await vi.waitFor(() => expect(isAlive(sleeper!)).toBe(false));
    expect(await process.exit).toEqual({ exitCode: 0 });
  });

  it("gives a terminal, resizes it, and hangs up", async () => {
    const process = await exec({
      argv: ["sh", "-c", 'echo $$ $$; read line; echo "got $line"; sleep 1000'],
      terminal,
    });
    process.resize({ columns: 132, rows: 50 });
    const [pid] = await firstNumbers(process);
    process.stdin.write("hello\n");
    await process.terminate();
    expect(await process.exit).toEqual({ signal: "SIGHUP" });
    expect(await readAll(process.stderr)).toBe("");
    await vi.waitFor(() => expect(isAlive(pid!)).toBe(false));
  });

  it("shows nothing of its own on a terminal", async () => {
    const process = await exec({ argv: ["printf", "hello"], terminal });
    expect(await finish(process)).toEqual({
      stdout: "hello",
      stderr: "",
      exit: { exitCode: 0 },
    });
  });

  it("terminates an ended process without effect", async () => {
    const process = await exec({ argv: ["true"] });
    await finish(process);
    await process.terminate();
    expect(await process.exit).toEqual({ exitCode: 0 });
  });
}

/** The numbers in the first line; the output goes on flowing, unread. */
async function firstNumbers(process: GuestProcess): Promise<number[]> {
  process.stderr.resume();
  let text = "";
  return new Promise((resolve, reject) => {
    process.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end).trim().split(" ").map(Number));
    });
    process.stdout.on("end", () => reject(new Error(`ended: ${text}`)));
  });
}
