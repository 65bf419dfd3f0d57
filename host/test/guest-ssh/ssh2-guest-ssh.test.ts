import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GuestProcess, VmRecord } from "@banger/core";
import type { Connection, ServerChannel } from "ssh2";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Ssh2GuestSsh } from "../../src/guest-ssh/ssh2-guest-ssh.js";
import { sshLimits, type SshLimits } from "../../src/guest-ssh/ssh-limits.js";
import { FileGuestKeys } from "../../src/keys/file-guest-keys.js";
import { generateOpenSshKeyPair } from "../../src/keys/openssh-key.js";
import { FakeGuest, runCommand } from "./fake-guest.js";
import { fakeVm, silentLogger } from "./fixtures.js";
import { describeCommands } from "./guest-behaviour.js";
import { finish, readAll } from "./reading.js";

const limits: SshLimits = {
  ...sshLimits,
  connectTimeoutMs: 5_000,
  retryPausesMs: [5, 10],
  sessionRetryMs: 20,
  terminateGraceMs: 500,
  pidWaitMs: 200,
};
const never = new AbortController().signal;

let home: string;
let keys: FileGuestKeys;
let guest: FakeGuest;
let vm: VmRecord;
let ssh: Ssh2GuestSsh;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "banger-ssh-"));
  keys = new FileGuestKeys({
    sshDirectory: join(home, "ssh"),
    logger: silentLogger,
  });
  const places = { directory: join(home, "vm") };
  guest = new FakeGuest((await keys.hostKey(fakeVm(places))).privateKey);
  vm = fakeVm({ ...places, ssh: await guest.listen() });
  ssh = makeSsh();
});
afterEach(async () => {
  await ssh.close();
  await guest.close();
  await rm(home, { recursive: true });
});

function makeSsh(changes: Partial<SshLimits> = {}): Ssh2GuestSsh {
  return new Ssh2GuestSsh(
    { guestKeys: keys, logger: silentLogger },
    { ...limits, ...changes },
  );
}
const run = async (...argv: string[]) =>
  finish(await ssh.exec(vm, { argv }, never));
const errorOf = (work: Promise<unknown>): Promise<Record<string, unknown>> =>
  work.then(
    () => ({ code: "no error" }),
    (error: unknown) => error as Record<string, unknown>,
  );

describe("commands", () => {
  // ssh2's server takes packets up to 35,000 bytes.
  describeCommands(() => ({ ssh, vm }), 25_000);

  it("pass terminal type and sizes on", async () => {
    const process = await ssh.exec(
      vm,
      {
        argv: ["cat"],
        terminal: { type: "screen-256color", columns: 100, rows: 30 },
      },
      never,
    );
    process.resize({ columns: 120, rows: 40 });
    process.stdin.end();
    await finish(process);
    expect(guest.ptys).toEqual([
      { term: "screen-256color", cols: 100, rows: 30 },
    ]);
    expect(guest.windows).toEqual([{ cols: 120, rows: 40 }]);
  });

  it.each([
    ["a NUL byte", { argv: ["echo", "a\0b"] }],
    ["no program", { argv: [] }],
    ["a relative directory", { argv: ["true"], cwd: "x" }],
    ["more than a command line takes", { argv: ["echo", "x".repeat(130_000)] }],
  ])("with %s are refused without a connection", async (_what, command) => {
    expect(await errorOf(ssh.exec(vm, command, never))).toMatchObject({
      code: "ERR_INVALID_VALUE",
    });
    expect(guest.connections).toBe(0);
  });

  it("do not hide what a start-up file of the shell writes", async () => {
    guest.onCommand = (command, channel) =>
      runCommand(`echo early >&2; ${command}`, channel);
    expect((await run("sh", "-c", "echo late >&2")).stderr).toBe(
      "early\nlate\n",
    );
  });
});

describe("the connection", () => {
  it("is opened once for all who want it at the same time, and kept", async () => {
    await Promise.all([
      ssh.connect(vm, never),
      ssh.connect(vm, never),
      run("true"),
      run("true"),
    ]);
    await run("true");
    expect(guest.connections).toBe(1);
    expect(guest.sessions).toBe(3);
  });

  it("waits for an sshd that starts late", async () => {
    guest.dropConnections = 4;
    await ssh.connect(vm, never);
    expect(guest.connections).toBe(5);

    const { port } = vm.runtime.ssh;
    await ssh.disconnect(vm);
    await guest.close();
    const connecting = ssh.connect(vm, never);
    await new Promise((resolve) => setTimeout(resolve, 50));
    guest = new FakeGuest((await keys.hostKey(vm)).privateKey);
    await guest.listen(port);
    await connecting;
  });

  it("gives up at the limit", async () => {
    ssh = makeSsh({ connectTimeoutMs: 200 });
    guest.silent = true;
    expect(await errorOf(ssh.connect(vm, never))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
    });
    await guest.close();
    expect(await errorOf(ssh.connect(vm, never))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
    });
  });

  it("refuses a guest with another host key, at once", async () => {
    await guest.close();
    guest = new FakeGuest(generateOpenSshKeyPair("other").privateKey);
    await guest.listen(vm.runtime.ssh.port);
    expect(await errorOf(run("true"))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
      message: expect.stringContaining("another host key") as string,
    });
    expect(guest.connections).toBe(1);
    expect(guest.authenticated).toBe(0);
  });

  it("says that the guest refuses the key, at once", async () => {
    guest.acceptKey = false;
    expect(await errorOf(run("true"))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
      message: expect.stringContaining("refuses the key") as string,
    });
    expect(guest.connections).toBe(1);
    guest.acceptKey = true;
    expect((await run("true")).exit).toEqual({ exitCode: 0 });
  });

  it("is opened again when it was lost before a command", async () => {
    await ssh.connect(vm, never);
    guest.cutConnections();
    // Some of these meet a dead connection that nobody has noticed.
    const all = await Promise.all([run("echo", "1"), run("echo", "2")]);
    expect(all.map(({ stdout }) => stdout)).toEqual(["1\n", "2\n"]);
    await vi.waitFor(() => expect(guest.openConnections).toBe(1));
    expect(guest.connections).toBe(2);
  });

  it("is not shared any more by those who leave, and ends with the last", async () => {
    guest.silent = true;
    const [first, second] = [new AbortController(), new AbortController()];
    const one = errorOf(ssh.connect(vm, first.signal));
    const two = errorOf(ssh.connect(vm, second.signal));
    await vi.waitFor(() => expect(guest.openConnections).toBe(1));
    first.abort();
    expect(await one).toMatchObject({ code: "ERR_CANCELLED" });
    expect(guest.openConnections).toBe(1);
    second.abort();
    expect(await two).toMatchObject({ code: "ERR_CANCELLED" });
    await vi.waitFor(() => expect(guest.openConnections).toBe(0));
    guest.silent = false;
    await ssh.connect(vm, never);
  });

  it("ends with disconnect, also while it is being opened", async () => {
    await ssh.connect(vm, never);
    await ssh.disconnect(vm);
    await ssh.disconnect(vm);
    await vi.waitFor(() => expect(guest.openConnections).toBe(0));
    guest.silent = true;
    const connecting = errorOf(ssh.connect(vm, never));
    await vi.waitFor(() => expect(guest.openConnections).toBe(1));
    await ssh.disconnect(vm);
    expect(await connecting).toMatchObject({ code: "ERR_GUEST_CONNECTION" });
    await vi.waitFor(() => expect(guest.openConnections).toBe(0));
  });

  it("follows a VM that came back at another address", async () => {
    await run("true");
    const moved = new FakeGuest((await keys.hostKey(vm)).privateKey);
    const there = {
      ...vm,
      runtime: { ...vm.runtime, ssh: await moved.listen() },
    };
    try {
      await finish(await ssh.exec(there, { argv: ["true"] }, never));
      expect(moved.authenticated).toBe(1);
      await vi.waitFor(() => expect(guest.openConnections).toBe(0));
    } finally {
      await ssh.close();
      await moved.close();
    }
  });
});

describe("sessions", () => {
  it("wait when the guest opens no more, and all get their turn", async () => {
    guest.maxSessions = 3;
    const all = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        run("sh", "-c", `sleep 0.05; exit ${i}`),
      ),
    );
    expect(all.map(({ exit }) => exit.exitCode)).toEqual(
      Array.from({ length: 12 }, (_, i) => i),
    );
    expect(guest.mostSessions).toBe(3);
    expect(guest.refusedSessions).toBeGreaterThan(0);
  });

  it("wait on our side first", async () => {
    ssh = makeSsh({ maxSessions: 2 });
    await Promise.all(Array.from({ length: 6 }, () => run("sleep", "0.05")));
    expect(guest.mostSessions).toBe(2);
    expect(guest.refusedSessions).toBe(0);
  });

  it("fail when the guest opens none at all", async () => {
    guest.maxSessions = 0;
    expect(await errorOf(run("true"))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
    });
    expect(guest.refusedSessions).toBe(limits.sessionRefusals + 1);
  });

  it("are ended although the guest opens none to end them with", async () => {
    guest.maxSessions = 1;
    const process = await ssh.exec(vm, { argv: ["sleep", "1000"] }, never);
    const done = finish(process);
    await process.terminate();
    expect((await done).exit).toEqual({ signal: "SIGTERM" });
    await vi.waitFor(() => expect(guest.openConnections).toBe(1));
  });

  it("are cancelled while they wait", async () => {
    guest.maxSessions = 1;
    const first = await ssh.exec(vm, { argv: ["cat"] }, never);
    const cancel = new AbortController();
    const second = errorOf(ssh.exec(vm, { argv: ["true"] }, cancel.signal));
    await vi.waitFor(() => expect(guest.refusedSessions).toBeGreaterThan(0));
    cancel.abort();
    expect(await second).toMatchObject({ code: "ERR_CANCELLED" });
    first.stdin.end();
    await finish(first);
    expect((await run("true")).exit).toEqual({ exitCode: 0 });
  });
});

describe("faults during a command", () => {
  const faulty = async (
    fault: (channel: ServerChannel, client: Connection) => void,
  ): Promise<GuestProcess> => {
    guest.onCommand = (_command, channel, client) => fault(channel, client);
    return ssh.exec(vm, { argv: ["anything"] }, never);
  };

  it("a lost connection ends the outputs and rejects the exit", async () => {
    const process = await faulty((channel) => {
      channel.write("some");
      setTimeout(() => guest.cutConnections(), 50);
    });
    const writing = new Promise((resolve) =>
      process.stdin.write(Buffer.alloc(8 << 20), resolve),
    );
    expect(await readAll(process.stdout)).toBe("some");
    expect(await readAll(process.stderr)).toBe("");
    expect(await errorOf(process.exit)).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
    });
    await writing;
    await process.terminate();
    guest.onCommand = undefined;
    expect((await run("true")).exit).toEqual({ exitCode: 0 });
  });

  it("an exit in the packet of the answer is not missed", async () => {
    for (let round = 0; round < 20; round++) {
      const process = await faulty((channel) => {
        channel.exit(7);
        channel.end();
      });
      expect((await finish(process)).exit).toEqual({ exitCode: 7 });
    }
  });

  it("an end without a status is no success", async () => {
    const process = await faulty((channel) => channel.end());
    expect(await errorOf(finish(process))).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
    });
  });

  it("a process whose id never comes is ended by closing its session", async () => {
    const process = await faulty((channel) => {
      channel.write("x");
      channel.stderr.write("0123456789abcdef 1\n");
    });
    const done = finish(process);
    await process.terminate();
    expect((await done).exit).toEqual({ signal: "SIGKILL" });
  });

  it("a guest that sends more than its window loses the connection", async () => {
    const process = await faulty((channel) => {
      // The server's side of the window is what an honest guest keeps to.
      const { outgoing } = channel as unknown as {
        outgoing: { window: number };
      };
      outgoing.window = 1e9;
      channel.write(Buffer.alloc(16 << 20));
    });
    await vi.waitFor(() => expect(guest.openConnections).toBe(0));
    process.stderr.resume();
    process.stdout.resume();
    expect(await errorOf(process.exit)).toMatchObject({
      code: "ERR_GUEST_CONNECTION",
    });
  });

  it("both outputs together stay within one window while one is not read", async () => {
    let written = 0;
    const process = await faulty((channel) => {
      const more = (): void => {
        if (channel.destroyed || written > 60 << 20) return;
        written += 1 << 16;
        channel.write(Buffer.alloc(1 << 16), () =>
          channel.stderr.write("tick\n", more),
        );
      };
      more();
    });
    process.stderr.resume();
    let before = -1;
    while (before !== written) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(written).toBeLessThan(8 << 20);
    process.stdout.resume();
    await vi.waitFor(() => expect(written).toBeGreaterThan(60 << 20), 20_000);
  }, 40_000);
});
