import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { VmmFeatures, VmRecord } from "@banger/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  agentLimits,
  type AgentLimits,
} from "../../src/guest-agent/agent-limits.js";
import { QemuGuestAgent } from "../../src/guest-agent/qemu-guest-agent.js";
import { silentLogger } from "../guest-ssh/fixtures.js";
import {
  delimiter,
  FakeAgent,
  syncAnswer,
  wellBehaved,
  type Transport,
} from "./fake-agent.js";
import { fakeVmmDrivers, startedVm } from "./fake-vmm-drivers.js";

const quick: AgentLimits = {
  ...agentLimits,
  connectRetryMs: 5,
  syncIntervalMs: 20,
  slowSyncIntervalMs: 20,
  syncTimeoutMs: 400,
  replyTimeoutMs: 300,
  refusalGraceMs: 100,
};
const never = new AbortController().signal;

const transports: readonly (readonly [Transport, VmmFeatures["endsOn"]])[] = [
  ["virtio-serial", "power-off"],
  ["vsock", "reboot"],
];

describe.each(transports)("over %s", (transport, endsOn) => {
  let home: string;
  let vm: VmRecord;
  let fake: FakeAgent;
  let agent: QemuGuestAgent;

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "banger-agent-"));
    vm = startedVm(home);
    fake = new FakeAgent(transport);
    agent = newAgent();
  });
  afterEach(async () => {
    agent.close();
    await fake.close();
    await rm(home, { recursive: true });
  });
  const newAgent = (): QemuGuestAgent =>
    new QemuGuestAgent(
      {
        logger: silentLogger,
        vmmDrivers: fakeVmmDrivers({ agentTransport: transport, endsOn }),
      },
      quick,
    );
  const socketName = transport === "vsock" ? "vsock.sock" : "agent.sock";
  const listen = (): Promise<void> => fake.listen(join(home, socketName));
  const errorCode = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => "no error",
      (error: unknown) => (error as { code?: unknown }).code,
    );

  describe("waiting for the guest", () => {
    it("waits for the socket and for an agent that starts late", async () => {
      const ready = agent.waitReady(vm, 10_000, never);
      await pause(30);
      let asked = 0;
      // The first requests are lost, as on a port that nobody has opened.
      fake.answer = (request, socket) =>
        ++asked < 4 ? undefined : wellBehaved(request, socket);
      await listen();
      await ready;
      expect(asked).toBeGreaterThanOrEqual(4);
      expect(fake.connections).toBe(1);
    });

    it("takes the answer to any request it sent and ignores the late ones", async () => {
      const ids: unknown[] = [];
      fake.answer = ({ execute, arguments: args }, socket) => {
        if (execute !== "guest-sync-delimited")
          return wellBehaved({ execute }, socket);
        ids.push(args?.["id"]);
        if (ids.length < 3) return undefined;
        // Requests that waited in a buffer are all answered at once.
        return Buffer.concat(ids.map(syncAnswer));
      };
      await listen();
      await agent.waitReady(vm, 10_000, never);
      expect(await agent.ping(vm, never)).toBeGreaterThan(0);
      expect(
        fake.requests.filter((name) => name === "guest-ping"),
      ).toHaveLength(1);
    });

    it("skips garbage, wrong numbers, wrong types and refusals before the answer", async () => {
      fake.answer = ({ arguments: args }) =>
        Buffer.concat([
          Buffer.from('SeaBIOS\0\n{"return": 1}\n'),
          syncAnswer(12),
          syncAnswer(String(args?.["id"])),
          syncAnswer([args?.["id"]]),
          delimiter,
          Buffer.from('{"error":{"class":"GenericError","desc":"x"}}\n'),
          delimiter,
          Buffer.from('{"retu'),
          syncAnswer(args?.["id"]),
        ]);
      await listen();
      await agent.waitReady(vm, 10_000, never);
    });

    it("reads an answer that comes byte by byte", async () => {
      let answered = false;
      fake.answer = ({ arguments: args }, socket) => {
        if (answered) return undefined;
        answered = true;
        const bytes = syncAnswer(args?.["id"]);
        void (async () => {
          for (const byte of bytes) {
            socket.write(Buffer.from([byte]));
            await pause(1);
          }
        })();
        return undefined;
      };
      await listen();
      await agent.waitReady(vm, 10_000, never);
    });

    it("connects again when the connection breaks before the answer", async () => {
      fake.answer = (request, socket) => {
        if (fake.connections < 3) {
          socket.destroy();
          return undefined;
        }
        return wellBehaved(request, socket);
      };
      await listen();
      await agent.waitReady(vm, 10_000, never);
      expect(fake.connections).toBe(3);
    });

    it.each([
      ["is silent", () => undefined],
      ["answers wrong numbers", () => syncAnswer(7)],
      ["never ends a line", () => Buffer.alloc(200_000, 0x20)],
      [
        "never ends a delimited line",
        () => Buffer.concat([delimiter, Buffer.alloc(7 << 20, 0x20)]),
      ],
      ["floods", () => Buffer.alloc(9 << 20, 0xff)],
    ])("gives up at the limit when the guest %s", async (_what, answer) => {
      fake.answer = answer;
      await listen();
      await expect(agent.waitReady(vm, 250, never)).rejects.toMatchObject({
        code: "ERR_GUEST_NOT_READY",
        console: [],
      });
    });

    it("gives up at the limit when there is no socket, and at once when cancelled", async () => {
      expect(await errorCode(agent.waitReady(vm, 50, never))).toBe(
        "ERR_GUEST_NOT_READY",
      );
      const cancel = new AbortController();
      const waiting = agent.waitReady(vm, 60_000, cancel.signal);
      setTimeout(() => cancel.abort(), 30);
      expect(await errorCode(waiting)).toBe("ERR_CANCELLED");
      expect(
        await errorCode(agent.waitReady(vm, 60_000, AbortSignal.abort())),
      ).toBe("ERR_CANCELLED");
    });
  });

  describe("requests", () => {
    it("share one connection and never overlap", async () => {
      let open = 0;
      let most = 0;
      fake.answer = (request, socket) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          socket.write(wellBehaved(request, socket)!);
        }, 5);
        return undefined;
      };
      await listen();
      await Promise.all(Array.from({ length: 8 }, () => agent.ping(vm, never)));
      expect(fake.connections).toBe(1);
      expect(most).toBe(1);
    });

    it("connects and synchronises again after the connection was lost", async () => {
      await listen();
      await agent.ping(vm, never);
      fake.hangUp();
      await vi.waitFor(() => expect(fake.openConnections).toBe(0));
      await agent.ping(vm, never);
      expect(fake.connections).toBe(2);
    });

    it("says so when nobody listens", async () => {
      expect(await errorCode(agent.ping(vm, never))).toBe(
        "ERR_AGENT_CONNECTION",
      );
    });

    it("says so when the connection breaks during a request", async () => {
      fake.answer = (request, socket) => {
        if (request.execute === "guest-ping") socket.destroy();
        return wellBehaved(request, socket);
      };
      await listen();
      expect(await errorCode(agent.ping(vm, never))).toBe(
        "ERR_AGENT_CONNECTION",
      );
    });

    it.each<[string, string | Uint8Array, string]>([
      ["no JSON", "hello\n", "ERR_AGENT_PROTOCOL"],
      [
        "bytes that are no text",
        Buffer.from([0xc0, 0x0a]),
        "ERR_AGENT_PROTOCOL",
      ],
      ["an array", '[{"return":{}}]\n', "ERR_AGENT_PROTOCOL"],
      ["null", "null\n", "ERR_AGENT_PROTOCOL"],
      ["neither value nor error", "{}\n", "ERR_AGENT_PROTOCOL"],
      ["an error of the wrong type", '{"error":"no"}\n', "ERR_AGENT_PROTOCOL"],
      ["a value of the wrong type", '{"return":3}\n', "ERR_AGENT_PROTOCOL"],
      [
        "a refusal",
        '{"error":{"class":"CommandNotFound","desc":"disabled"}}\n',
        "ERR_AGENT_REFUSED",
      ],
      [
        "a line without an end",
        Buffer.alloc((3 << 20) + 1, 0x20),
        "ERR_AGENT_PROTOCOL",
      ],
      ["deeply nested JSON", `${"[".repeat(500_000)}\n`, "ERR_AGENT_PROTOCOL"],
      ["nothing", "", "ERR_AGENT_TIMEOUT"],
      ["half a line", '{"return', "ERR_AGENT_TIMEOUT"],
    ])(
      "answered with %s fail, and the next works",
      async (_what, bytes, code) => {
        fake.answer = (request, socket) =>
          request.execute === "guest-ping"
            ? bytes
            : wellBehaved(request, socket);
        await listen();
        expect(await errorCode(agent.ping(vm, never))).toBe(code);
        fake.answer = wellBehaved;
        expect(await agent.ping(vm, never)).toBeGreaterThan(0);
      },
    );

    it("never take a late answer for their own", async () => {
      let late: (() => void) | undefined;
      fake.answer = (request, socket) => {
        if (request.execute === "guest-ping" && !late) {
          late = () => socket.write('{"return": 666}\n');
          return undefined;
        }
        if (request.execute === "guest-sync-delimited") late?.();
        return wellBehaved(request, socket);
      };
      await listen();
      expect(await errorCode(agent.ping(vm, never))).toBe("ERR_AGENT_TIMEOUT");
      expect(await agent.ping(vm, never)).toBeGreaterThan(0);
    });

    it("leave the line when they are cancelled", async () => {
      fake.answer = (request, socket) =>
        request.execute === "guest-ping"
          ? undefined
          : wellBehaved(request, socket);
      await listen();
      const cancel = new AbortController();
      const both = [
        agent.ping(vm, cancel.signal),
        agent.ping(vm, cancel.signal),
      ];
      setTimeout(() => cancel.abort(), 50);
      expect(await Promise.all(both.map(errorCode))).toEqual([
        "ERR_CANCELLED",
        "ERR_CANCELLED",
      ]);
      fake.answer = wellBehaved;
      await agent.ping(vm, never);
    });

    it("survive a guest that floods while nobody asks", async () => {
      await listen();
      await agent.ping(vm, never);
      fake.say("x".repeat(200_000));
      await vi.waitFor(() => expect(fake.openConnections).toBe(0));
      await agent.ping(vm, never);
      expect(fake.connections).toBe(2);
    });

    it("show no control characters of the guest", async () => {
      fake.answer = (request, socket) =>
        request.execute === "guest-ping"
          ? `${JSON.stringify({ error: { class: "A\u001b[31m", desc: "b\r\n".repeat(500) } })}\n`
          : wellBehaved(request, socket);
      await listen();
      const error = await agent.ping(vm, never).catch((e: unknown) => e);
      const { message } = error as Error;
      // eslint-disable-next-line no-control-regex -- they are what is looked for
      expect(message).not.toMatch(/[\u0000-\u001f]/);
      expect(message.length).toBeLessThan(500);
    });
  });

  describe("power off", () => {
    const refusal = '{"error":{"class":"CommandNotFound","desc":"no"}}\n';

    it("asks systemd, and needs nothing else when it took the order", async () => {
      fake.answer = (request, socket) =>
        request.execute === "guest-exec"
          ? '{"return":{"pid":7}}\n'
          : wellBehaved(request, socket);
      await listen();
      await agent.powerOff(vm, never);
      expect(fake.requests).toContain("guest-exec");
      expect(fake.requests).not.toContain("guest-shutdown");
    });

    it.each([
      ["stays silent", () => undefined],
      [
        "ends the connection",
        (socket: Socket) => {
          socket.destroy();
          return undefined;
        },
      ],
    ])(
      "falls back to the agent's own shutdown, which %s",
      async (_what, end) => {
        fake.answer = (request, socket) => {
          if (request.execute === "guest-exec") return refusal;
          if (request.execute === "guest-shutdown") {
            end(socket);
            return;
          }
          return wellBehaved(request, socket);
        };
        await listen();
        await agent.powerOff(vm, never);
        expect(fake.requests.at(-1)).toBe("guest-shutdown");
      },
    );

    it("fails when the agent refuses both, is silent before, or is not there", async () => {
      expect(await errorCode(agent.powerOff(vm, never))).toBe(
        "ERR_AGENT_CONNECTION",
      );
      await listen();
      fake.answer = (request, socket) =>
        request.execute === "guest-sync-delimited"
          ? wellBehaved(request, socket)
          : refusal;
      expect(await errorCode(agent.powerOff(vm, never))).toBe(
        "ERR_AGENT_REFUSED",
      );
      agent.close();
      agent = newAgent();
      fake.answer = () => undefined;
      expect(await errorCode(agent.powerOff(vm, never))).toBe(
        "ERR_AGENT_TIMEOUT",
      );
    });
  });

  describe("facts", () => {
    const files: Record<string, string> = {
      "/proc/meminfo":
        "MemTotal:         496728 kB\nMemFree:          301212 kB\nMemAvailable:     400000 kB\n",
      "/proc/loadavg": "0.31 1.05 12.70 2/73 412\n",
    };
    /** A guest that keeps count of the files that are open in it. */
    const guestFiles = (
      contents: Record<string, string> = files,
    ): { answer: typeof wellBehaved; open: Map<number, string> } => {
      const open = new Map<number, string>();
      let last = 1000;
      return {
        open,
        answer: (request, socket) => {
          const { path, handle } = (request.arguments ?? {}) as {
            path?: string;
            handle?: number;
          };
          const reply = (value: unknown): string =>
            `${JSON.stringify({ return: value })}\n`;
          switch (request.execute) {
            case "guest-file-open":
              open.set(++last, path ?? "");
              return reply(last);
            case "guest-file-read": {
              const text = contents[open.get(handle ?? 0) ?? ""] ?? "";
              const bytes = Buffer.from(text, "latin1");
              const base64 = bytes.toString("base64");
              return reply({
                count: bytes.length,
                "buf-b64": base64,
                eof: true,
              });
            }
            case "guest-file-close":
              open.delete(handle ?? 0);
              return reply({});
            default:
              return wellBehaved(request, socket);
          }
        },
      };
    };

    it("are memory and load, and leave no file open", async () => {
      const { answer, open } = guestFiles();
      fake.answer = answer;
      await listen();
      expect(await agent.facts(vm, never)).toEqual({
        memoryTotalBytes: 496_728 * 1024,
        memoryAvailableBytes: 400_000 * 1024,
        loadAverage: [0.31, 1.05, 12.7],
      });
      expect(open.size).toBe(0);
    });

    it.each([
      ["no total", { "/proc/meminfo": "MemAvailable: 1 kB\n" }],
      ["nothing", { "/proc/meminfo": "" }],
      [
        "no memory",
        { "/proc/meminfo": "MemTotal: 0 kB\nMemAvailable: 0 kB\n" },
      ],
      [
        "more free than there is",
        { "/proc/meminfo": "MemTotal: 1 kB\nMemAvailable: 2 kB\n" },
      ],
      [
        "a number without end",
        { "/proc/meminfo": `MemTotal: ${"9".repeat(400)} kB\n` },
      ],
      [
        "more memory than there can be",
        { "/proc/meminfo": "MemTotal: 99999999999 kB\nMemAvailable: 1 kB\n" },
      ],
      ["no load", { "/proc/loadavg": "\u001b[31m" }],
      ["a negative load", { "/proc/loadavg": "-1.00 1.00 1.00 1/1 1\n" }],
      ["more than was asked for", { "/proc/meminfo": "x".repeat(5_000) }],
    ])(
      "that say %s are refused, and no file stays open",
      async (_what, bad) => {
        const { answer, open } = guestFiles({ ...files, ...bad });
        fake.answer = answer;
        await listen();
        expect(await errorCode(agent.facts(vm, never))).toBe(
          "ERR_AGENT_PROTOCOL",
        );
        expect(open.size).toBe(0);
      },
    );

    it.each([
      ["guest-file-open", { return: "7" }, "ERR_AGENT_PROTOCOL"],
      ["guest-file-open", { return: 1e300 }, "ERR_AGENT_PROTOCOL"],
      ["guest-file-read", { return: null }, "ERR_AGENT_PROTOCOL"],
      ["guest-file-read", { return: { "buf-b64": 7 } }, "ERR_AGENT_PROTOCOL"],
      [
        "guest-file-read",
        { return: { "buf-b64": "%%" } },
        "ERR_AGENT_PROTOCOL",
      ],
      [
        "guest-file-read",
        { error: { class: "GenericError", desc: "no" } },
        "ERR_AGENT_REFUSED",
      ],
      [
        "guest-file-close",
        { error: { class: "GenericError", desc: "no" } },
        "ERR_AGENT_REFUSED",
      ],
    ])("fail when the answer to %s is %j", async (command, reply, code) => {
      const { answer } = guestFiles();
      fake.answer = (request, socket) =>
        request.execute === command
          ? `${JSON.stringify(reply)}\n`
          : answer(request, socket);
      await listen();
      expect(await errorCode(agent.facts(vm, never))).toBe(code);
      const isOpened = command !== "guest-file-open";
      expect(fake.requests.includes("guest-file-close")).toBe(isOpened);
      // The connection is still good.
      expect(await agent.ping(vm, never)).toBeGreaterThan(0);
    });

    it("are asked for once when several want them, and closed after the last has left", async () => {
      const { answer, open } = guestFiles();
      const held: (() => void)[] = [];
      fake.answer = (request, socket) => {
        if (request.execute !== "guest-file-read")
          return answer(request, socket);
        held.push(() => socket.write(String(answer(request, socket))));
        return undefined;
      };
      await listen();
      const cancel = new AbortController();
      const left = [1, 2].map(() => errorCode(agent.facts(vm, cancel.signal)));
      await vi.waitFor(() => expect(held).toHaveLength(1));
      cancel.abort();
      expect(await Promise.all(left)).toEqual([
        "ERR_CANCELLED",
        "ERR_CANCELLED",
      ]);
      expect(open.size).toBe(1);
      const late = agent.facts(vm, never);
      held[0]?.();
      await vi.waitFor(() => expect(held).toHaveLength(2));
      held[1]?.();
      expect((await late).loadAverage[0]).toBe(0.31);
      expect(open.size).toBe(0);
    });
  });
});
