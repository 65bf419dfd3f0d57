import { isBangerError } from "@banger/core";
import { describe, expect, it } from "vitest";
import { qmpCommand } from "../../src/vmm/qmp-client.js";
import { eachCommand, fakeMonitor, greeting } from "./fake-monitor.js";

const never = new AbortController().signal;
const event = `{"event": "RTC_CHANGE", "data": {"return": 1}}\r\n`;
const failure = { code: "ERR_VMM_MONITOR" };

describe("qmpCommand", () => {
  it("greets, negotiates, asks, and returns the answer among events", async () => {
    const commands: string[] = [];
    const path = await fakeMonitor((socket) => {
      socket.write(event + greeting + event);
      eachCommand(socket, (command) => {
        commands.push(command);
        const answer =
          command === "query-status"
            ? { running: true, status: "running" }
            : {};
        socket.write(
          `${event}${JSON.stringify({ return: answer })}\r\n${event}`,
        );
      });
    });
    expect(await qmpCommand(path, "query-status", never)).toEqual({
      running: true,
      status: "running",
    });
    expect(commands).toEqual(["qmp_capabilities", "query-status"]);
  });

  it("puts lines together that arrive byte by byte", async () => {
    const path = await fakeMonitor((socket) => {
      const slowly = (text: string): void => {
        for (const byte of Buffer.from(text)) socket.write(Buffer.from([byte]));
      };
      slowly(greeting);
      eachCommand(socket, () => {
        slowly(`{"return": {"name": "ü€"}}\r\n`);
      });
    });
    expect(await qmpCommand(path, "query-name", never)).toEqual({ name: "ü€" });
  });

  it.each([
    ["a refusal", `{"error": {"class": "CommandNotFound"}}\n`],
    ["no JSON", "}{\n"],
    ["a closed line that is too long", `"${"x".repeat(2 * 2 ** 20)}"\n`],
  ])("fails on %s", async (_what, answer) => {
    const path = await fakeMonitor((socket) => {
      socket.write(greeting);
      eachCommand(socket, () => socket.write(answer));
    });
    await expect(qmpCommand(path, "query-status", never)).rejects.toMatchObject(
      failure,
    );
  });

  it("fails when the monitor hangs up before or after its greeting", async () => {
    const early = await fakeMonitor((socket) => socket.end());
    const late = await fakeMonitor((socket) => {
      socket.write(greeting);
      eachCommand(socket, () => socket.end(`{"retu`));
    });
    for (const path of [early, late])
      await expect(
        qmpCommand(path, "query-status", never),
      ).rejects.toMatchObject(failure);
  });

  it("fails on a line without an end instead of keeping it", async () => {
    let sent = 0;
    const path = await fakeMonitor((socket) => {
      const piece = Buffer.alloc(64 * 1024, "x");
      const flood = (): void => {
        while (!socket.destroyed && socket.write(piece)) sent += piece.length;
      };
      socket.on("drain", flood);
      flood();
    });
    await expect(qmpCommand(path, "query-status", never)).rejects.toMatchObject(
      failure,
    );
    expect(sent).toBeLessThan(8 * 2 ** 20);
  });

  it("ends on abort while the monitor is silent, and while it only sends events", async () => {
    const silent = await fakeMonitor(() => undefined);
    const chatty = await fakeMonitor((socket) => {
      socket.write(greeting);
      const timer = setInterval(() => socket.write(event), 1);
      socket.on("close", () => {
        clearInterval(timer);
      });
    });
    for (const path of [silent, chatty]) {
      const abort = new AbortController();
      const answer = qmpCommand(path, "query-status", abort.signal);
      setTimeout(() => {
        abort.abort();
      }, 20);
      await expect(answer).rejects.toMatchObject(failure);
    }
    await expect(
      qmpCommand(silent, "query-status", AbortSignal.abort()),
    ).rejects.toMatchObject(failure);
  });

  it("passes on the system's error when nobody listens", async () => {
    await expect(
      qmpCommand("/nonexistent/qmp.sock", "query-status", never),
    ).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("leaves no listener on its caller's signal", async () => {
    const path = await fakeMonitor((socket) => {
      socket.write(greeting);
      eachCommand(socket, () => socket.write(`{"return": {}}\n`));
    });
    const abort = new AbortController();
    let listeners = 0;
    const { signal } = abort;
    const counting = new Proxy(signal, {
      get(target, key) {
        if (key === "addEventListener") listeners += 1;
        if (key === "removeEventListener") listeners -= 1;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function"
          ? (value.bind(target) as unknown)
          : value;
      },
    });
    await qmpCommand(path, "query-status", counting);
    expect(listeners).toBe(0);
  });
});

/** A small generator, so that a failing case can be found again by its seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

it("answers 10,000 mutated conversations with a value or a typed error", async () => {
  const valid = `${greeting}{"return": {}}\r\n${event}{"return": {"running": true}}\r\n`;
  const random = randomNumbers(0x51ab);
  const pieces = ["{", "}", "\n", '"return"', '"error"', "null", "[", "1e999"];
  const mutate = (): Buffer => {
    const bytes = Buffer.from(valid);
    const edits = 1 + random(6);
    let text = bytes;
    for (let edit = 0; edit < edits; edit++) {
      const at = random(text.length + 1);
      const kind = random(4);
      const insert =
        kind === 0
          ? Buffer.from(pieces[random(pieces.length)] ?? "")
          : Buffer.from([random(256)]);
      const skip = kind === 1 ? random(40) : kind === 2 ? 1 : 0;
      text = Buffer.concat([
        text.subarray(0, at),
        kind === 1 ? Buffer.alloc(0) : insert,
        text.subarray(at + skip),
      ]);
    }
    return text;
  };
  let current: Buffer = Buffer.alloc(0);
  // Everything at once and a hang-up: the client must never wait for more than there is.
  const path = await fakeMonitor((socket) => {
    socket.resume();
    socket.end(current);
  });
  const outcomes = { values: 0, errors: 0 };
  for (let round = 0; round < 10_000; round++) {
    current = mutate();
    try {
      await qmpCommand(path, "query-status", never);
      outcomes.values += 1;
    } catch (error) {
      const { code } = error as { code?: string };
      // The fake hangs up while the client still writes.
      const isReset = code === "EPIPE" || code === "ECONNRESET";
      if (!isBangerError(error) && !isReset)
        throw new Error(
          `round ${String(round)}: ${current.toString("latin1")}`,
          {
            cause: error,
          },
        );
      outcomes.errors += 1;
    }
  }
  expect(outcomes.values).toBeGreaterThan(100);
  expect(outcomes.errors).toBeGreaterThan(100);
}, 120_000);
