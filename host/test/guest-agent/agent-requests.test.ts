import type { AgentCommand, VmRecord } from "@banger/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AgentClient } from "../../src/guest-agent/agent-client.js";
import {
  readGuestFile,
  writeGuestFile,
} from "../../src/guest-agent/guest-file.js";
import type { QemuGuestAgent } from "../../src/guest-agent/qemu-guest-agent.js";
import { connectUnixSocket } from "../../src/guest-agent/unix-socket.js";
import { connectVsock } from "../../src/guest-agent/vsock-transport.js";
import {
  AgentBench,
  errorCode,
  quickLimits,
  transports,
} from "./agent-bench.js";
import type { AgentRequest, FakeAgent } from "./fake-agent.js";

const never = new AbortController().signal;
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe.each(transports)("over %s", (...row) => {
  const [transport, endsOn] = row;
  let bench: AgentBench;
  let agent: QemuGuestAgent;
  let fake: FakeAgent;
  let vm: VmRecord;
  beforeEach(async () => {
    bench = await AgentBench.make(row);
    ({ agent, fake, vm } = bench);
    await bench.listen();
  });
  afterEach(() => bench.remove());
  const asked = (command: string): readonly AgentRequest[] =>
    fake.asked.filter(({ execute }) => execute === command);

  describe("a process", () => {
    const run = (command: AgentCommand, signal = never) =>
      agent.exec(vm, command, signal);
    const ended = { exited: true, exitcode: 0 };

    it("gets its arguments and input, and is asked after until it has ended", async () => {
      let looks = 0;
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () =>
          ++looks < 3
            ? { exited: false }
            : {
                ...{ exited: true, exitcode: 3 },
                ...{ "out-data": base64("out\n"), "err-data": base64("err\n") },
              },
      });
      const input = Buffer.from("ünïcode\0");
      const output = await run({ argv: ["tr", "a b", "$c"], input });
      expect(output).toEqual({
        exit: { exitCode: 3 },
        stdout: Buffer.from("out\n"),
        stderr: Buffer.from("err\n"),
      });
      expect(asked("guest-exec")).toEqual([
        {
          execute: "guest-exec",
          arguments: {
            path: "setsid",
            arg: ["tr", "a b", "$c"],
            "input-data": input.toString("base64"),
            "capture-output": true,
          },
        },
      ]);
      expect(asked("guest-exec-status")).toHaveLength(3);
      expect(asked("guest-exec-status")[0]?.arguments).toEqual({ pid: 40 });
    });

    it("that a signal ended is told by its name", async () => {
      const statuses = [9, 15, 64];
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => ({ exited: true, signal: statuses.shift() }),
      });
      const exits = [];
      for (let at = 0; at < 3; at++)
        exits.push((await run({ argv: ["sleep"] })).exit.signal);
      expect(exits).toEqual(["SIGKILL", "SIGTERM", "SIG64"]);
    });

    it("may write a MiB to each output", async () => {
      const much = "x".repeat(1 << 20);
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => ({
          ...ended,
          ...{ "out-data": base64(much), "err-data": base64(much) },
        }),
      });
      const { stdout, stderr } = await run({ argv: ["yes"] });
      expect([stdout.length, stderr.length]).toEqual([1 << 20, 1 << 20]);
    });

    it.each<[string, unknown]>([
      ["a string", { pid: "1" }],
      ["no pid", {}],
      ["nothing", null],
      ["a list", [{ pid: 1 }]],
      ["zero", { pid: 0 }],
      ["a group", { pid: -1 }],
      ["a fraction", { pid: 1.5 }],
      ["more than a pid can be", { pid: 2 ** 40 }],
      ["no number that there is", { pid: 1e308 }],
    ])("whose pid is %s is not believed in", async (_what, value) => {
      bench.answers({ "guest-exec": () => value });
      expect(await errorCode(run({ argv: ["id"] }))).toBe("ERR_AGENT_PROTOCOL");
      expect(asked("guest-exec")).toHaveLength(1);
    });

    it.each<[string, unknown]>([
      ["says no state", {}],
      ["says a state that is none", { exited: 1 }],
      ["ended in no way", { exited: true }],
      ["has a huge status", { exited: true, exitcode: 1e15 }],
      ["has a negative status", { exited: true, exitcode: -1 }],
      ["has a status with a fraction", { exited: true, exitcode: 0.5 }],
      ["ended by no signal", { exited: true, signal: 0 }],
      ["ended by a huge signal", { exited: true, signal: 2 ** 31 }],
      ["ended by a word", { exited: true, signal: "SIGKILL" }],
      ["wrote no base64", { ...ended, "out-data": "%%%%" }],
      ["wrote half base64", { ...ended, "out-data": "QUJ" }],
      ["wrote base64 with a hole", { ...ended, "err-data": "QQ==QQ==" }],
      ["wrote a number", { ...ended, "err-data": 7 }],
      ["wrote too much", { ...ended, "out-data": "QUFB".repeat(360_000) }],
    ])("that %s is refused, and killed", async (_what, value) => {
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => value,
      });
      expect(await errorCode(run({ argv: ["id"] }))).toBe("ERR_AGENT_PROTOCOL");
      expect(asked("guest-exec")[1]?.arguments).toMatchObject({
        path: "kill",
        arg: ["-KILL", "--", "-40"],
      });
      expect(await agent.ping(vm, never)).toBeGreaterThan(0);
    });

    it("that writes more than a reply may hold is refused, and the connection works on", async () => {
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => ({
          ...ended,
          "out-data": "QUFB".repeat(1 << 20),
        }),
      });
      expect(await errorCode(run({ argv: ["yes"] }))).toBe(
        "ERR_AGENT_PROTOCOL",
      );
      expect(await agent.ping(vm, never)).toBeGreaterThan(0);
    });

    it("that nobody waits for any more is killed with its group", async () => {
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => ({ exited: false }),
      });
      const cancel = new AbortController();
      const running = errorCode(run({ argv: ["sleep", "9"] }, cancel.signal));
      await vi.waitFor(() =>
        expect(asked("guest-exec-status").length).toBeGreaterThan(1),
      );
      cancel.abort();
      expect(await running).toBe("ERR_CANCELLED");
      expect(asked("guest-exec")[1]?.arguments).toMatchObject({
        path: "kill",
        arg: ["-KILL", "--", "-40"],
      });
    });

    it("lets go of a caller whose guest cannot be asked any more", async () => {
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => undefined,
      });
      expect(await errorCode(run({ argv: ["sleep", "9"] }))).toBe(
        "ERR_AGENT_TIMEOUT",
      );
      fake.hangUp();
      await vi.waitFor(() => expect(fake.openConnections).toBe(0));
      bench.answers({
        "guest-exec": () => ({ pid: 40 }),
        "guest-exec-status": () => {
          fake.hangUp();
          return undefined;
        },
      });
      expect(await errorCode(run({ argv: ["sleep", "9"] }))).toBe(
        "ERR_AGENT_CONNECTION",
      );
    });

    it("that cannot be started fails with the guest's words", async () => {
      bench.answers({ "guest-exec": () => new Error("No such file") });
      await expect(run({ argv: ["nothing"] })).rejects.toMatchObject({
        code: "ERR_AGENT_REFUSED",
        message:
          "guest agent: guest-exec was refused: GenericError: No such file",
      });
    });
  });

  describe("the order to end", () => {
    const order = async (): Promise<unknown> =>
      errorCode(agent.powerOff(vm, never));
    const verb = endsOn === "reboot" ? "reboot" : "poweroff";
    const mode = endsOn === "reboot" ? "reboot" : "powerdown";

    it("is the one that ends the VMM", async () => {
      bench.answers({
        "guest-exec": () => ({ pid: 7 }),
        "guest-exec-status": () => ({ exited: true, exitcode: 0 }),
      });
      expect(await order()).toBe("no error");
      expect(asked("guest-exec")[0]?.arguments).toMatchObject({
        path: "/usr/bin/systemctl",
        arg: [verb, "--force"],
      });
      expect(asked("guest-shutdown")).toEqual([]);
    });

    it.each([
      ["says nothing more", () => undefined],
      ["still runs it", () => ({ exited: false })],
      ["hangs up", () => new Error("gone")],
    ])("is taken by a guest that then %s", async (what, status) => {
      bench.answers({
        "guest-exec": () => ({ pid: 7 }),
        "guest-exec-status": () => {
          if (what !== "hangs up") return status();
          fake.hangUp();
          return undefined;
        },
      });
      expect(await order()).toBe("no error");
      expect(asked("guest-shutdown")).toEqual([]);
    });

    it.each([
      ["cannot start", { "guest-exec": () => new Error("no") }],
      [
        "fails",
        {
          "guest-exec": () => ({ pid: 7 }),
          "guest-exec-status": () => ({ exited: true, exitcode: 1 }),
        },
      ],
    ])("goes to the agent itself when systemd %s", async (_what, answers) => {
      bench.answers({ ...answers, "guest-shutdown": () => undefined });
      expect(await order()).toBe("no error");
      expect(asked("guest-shutdown")[0]?.arguments).toEqual({ mode });
    });
  });

  describe("the clock", () => {
    const offset = (): Promise<number> => agent.clockOffset(vm, never);

    it.each([0, 3_600_000, -90_000])("is %d ms off", async (ms) => {
      bench.answers({
        // As the agent writes it: ns, more digits than a double holds.
        "guest-get-time": () =>
          `{"return": ${String(Date.now() + ms)}123456}\n`,
      });
      const measured = await offset();
      expect(Math.abs(measured - ms)).toBeLessThan(1_000);
    });

    it.each([
      ["a string", '"1795269800000000000"'],
      ["negative", "-1"],
      ["after 2200", "9223372036854775807"],
      ["no number that there is", "1e400"],
      ["a fraction", "0.5"],
      ["nothing", "null"],
      ["an object", "{}"],
    ])("is not believed when it is %s", async (_what, value) => {
      bench.answers({ "guest-get-time": () => `{"return": ${value}}\n` });
      expect(await errorCode(offset())).toBe("ERR_AGENT_PROTOCOL");
    });
  });

  describe("a file", () => {
    let client: AgentClient;
    beforeEach(() => {
      const path = bench.socketPath;
      client = new AgentClient(
        (signal) =>
          transport === "vsock"
            ? connectVsock(path, quickLimits, signal)
            : connectUnixSocket(path, signal),
        quickLimits,
      );
    });
    afterEach(() => client.close());
    const read = (maxBytes = 1 << 20, signal = never): Promise<Buffer> =>
      readGuestFile(client, "/file", maxBytes, signal);
    const write = (content: Uint8Array): Promise<void> =>
      writeGuestFile(client, "/file", content, never);
    const content = Buffer.alloc(700_000, "0123456789");
    /** A guest with that one file; it keeps count of how often the file is open. */
    const guest = () => {
      const state = { open: 0, at: 0, written: Buffer.alloc(0) };
      const answers = {
        "guest-file-open": () => {
          state.open++;
          return 1000;
        },
        "guest-file-close": () => {
          state.open--;
          return {};
        },
        "guest-file-read": ({ arguments: args }: AgentRequest) => {
          const count = Number(args?.["count"]);
          const piece = content.subarray(state.at, state.at + count);
          state.at += piece.length;
          return {
            count: piece.length,
            "buf-b64": piece.toString("base64"),
            eof: piece.length < count,
          };
        },
        "guest-file-write": ({ arguments: args }: AgentRequest) => {
          const piece = Buffer.from(String(args?.["buf-b64"]), "base64");
          state.written = Buffer.concat([state.written, piece]);
          return { count: piece.length, eof: false };
        },
        "guest-file-flush": () => ({}),
      };
      return { answers, state };
    };

    it("is read whole in bounded pieces, or its beginning", async () => {
      const { answers, state } = guest();
      bench.answers(answers);
      expect((await read()).equals(content)).toBe(true);
      expect(asked("guest-file-read")).toHaveLength(3);
      state.at = 0;
      expect((await read(500)).toString()).toBe(
        content.toString("utf8", 0, 500),
      );
      expect(state.open).toBe(0);
    });

    it("is written whole in bounded pieces, also by a guest that takes less at a time", async () => {
      const { answers, state } = guest();
      bench.answers(answers);
      await write(content);
      expect(state.written.equals(content)).toBe(true);
      expect(asked("guest-file-write")).toHaveLength(3);
      expect(asked("guest-file-flush")).toHaveLength(1);
      state.written = Buffer.alloc(0);
      bench.answers({
        ...answers,
        "guest-file-write": ({ arguments: args }) => {
          const piece = Buffer.from(String(args?.["buf-b64"]), "base64");
          const taken = piece.subarray(0, 100_000);
          state.written = Buffer.concat([state.written, taken]);
          return { count: taken.length };
        },
      });
      await write(content);
      expect(state.written.equals(content)).toBe(true);
      expect(state.open).toBe(0);
    });

    it.each<[string, unknown, string]>([
      ["a word", "handle", "ERR_AGENT_PROTOCOL"],
      ["negative", -1, "ERR_AGENT_PROTOCOL"],
      ["huge", 2 ** 60, "ERR_AGENT_PROTOCOL"],
      ["a refusal", new Error("No such file"), "ERR_AGENT_REFUSED"],
    ])("whose handle is %s is not read", async (_what, handle, code) => {
      bench.answers({
        "guest-file-open": () =>
          typeof handle === "string" ? `{"return": "${handle}"}\n` : handle,
      });
      expect(await errorCode(read())).toBe(code);
      expect(asked("guest-file-read")).toEqual([]);
    });

    it.each<[string, unknown, string]>([
      ["says no end", { "buf-b64": "" }, "ERR_AGENT_PROTOCOL"],
      [
        "has nothing and no end",
        { "buf-b64": "", eof: false },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "gives one byte at a time for ever",
        { "buf-b64": "QQ==", eof: false },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "gives no base64",
        { "buf-b64": "====", eof: true },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "gives more than was asked for",
        { "buf-b64": base64("x".repeat(501)), eof: true },
        "ERR_AGENT_PROTOCOL",
      ],
      ["cannot be read", new Error("EIO"), "ERR_AGENT_REFUSED"],
      ["is silent", undefined, "ERR_AGENT_TIMEOUT"],
    ])("that %s is closed again", async (_what, answer, code) => {
      const { answers, state } = guest();
      bench.answers({ ...answers, "guest-file-read": () => answer });
      expect(await errorCode(read(500))).toBe(code);
      expect(state.open).toBe(0);
    });

    it("that nobody waits for any more is closed again", async () => {
      const { answers, state } = guest();
      bench.answers({ ...answers, "guest-file-read": () => undefined });
      const cancel = new AbortController();
      const reading = errorCode(read(500, cancel.signal));
      await vi.waitFor(() => expect(asked("guest-file-read")).toHaveLength(1));
      cancel.abort();
      expect(await reading).toBe("ERR_CANCELLED");
      expect(state.open).toBe(0);
    });

    it.each<[string, Record<string, () => unknown>, string]>([
      [
        "takes nothing",
        { "guest-file-write": () => ({ count: 0 }) },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "takes more than it got",
        { "guest-file-write": () => ({ count: 2 ** 40 }) },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "takes a word",
        { "guest-file-write": () => ({ count: "all" }) },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "is full",
        { "guest-file-flush": () => new Error("ENOSPC") },
        "ERR_AGENT_REFUSED",
      ],
      [
        "cannot be closed",
        { "guest-file-close": () => new Error("EIO") },
        "ERR_AGENT_REFUSED",
      ],
    ])("that %s is not written", async (what, faults, code) => {
      const { answers, state } = guest();
      bench.answers({ ...answers, ...faults });
      expect(await errorCode(write(content))).toBe(code);
      expect(state.open).toBe(what === "cannot be closed" ? 1 : 0);
    });
  });

  it("is asked nothing of a VM that was never started", async () => {
    const { driver: _driver, ...runtime } = vm.runtime;
    const fresh = { ...vm, runtime };
    expect(await errorCode(agent.ping(fresh, never))).toBe(
      "ERR_AGENT_CONNECTION",
    );
    expect(fake.connections).toBe(0);
  });
});

it("reaches the agent of a vsock VM by that socket alone", async () => {
  const bench = await AgentBench.make(["vsock", "reboot"]);
  try {
    await bench.listen();
    await bench.agent.ping(bench.vm, never);
    expect(bench.fake.connects).toEqual(["CONNECT 1024"]);
    // Nobody listens in the guest yet: the VMM closes the connection, and the wait goes on.
    let refused = 0;
    bench.agent.close();
    bench.fake.connect = (_line, socket) => {
      if (++refused > 3) return "OK 1\n";
      socket.end();
      return undefined;
    };
    await bench.agent.waitReady(bench.vm, 10_000, never);
    expect(refused).toBe(4);
    // A VMM that lies about the connection: the wait ends at its limit.
    bench.agent.close();
    bench.fake.connect = () => "HELLO\n";
    expect(await errorCode(bench.agent.waitReady(bench.vm, 200, never))).toBe(
      "ERR_GUEST_NOT_READY",
    );
    expect(await errorCode(bench.agent.ping(bench.vm, never))).toBe(
      "ERR_AGENT_PROTOCOL",
    );
  } finally {
    await bench.remove();
  }
});
