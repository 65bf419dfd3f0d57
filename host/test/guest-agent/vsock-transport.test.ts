import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { VsockAnswer } from "../../src/guest-agent/vsock-answer.js";
import { connectVsock } from "../../src/guest-agent/vsock-transport.js";
import { recipes } from "../../src/images/recipe.js";
import { errorCode, quickLimits } from "./agent-bench.js";

const never = new AbortController().signal;

/** Answers every connection by the test's own hand. */
let serve: (socket: Socket) => void;
let server: Server;
let directory: string;
let path: string;
const peers = new Set<Socket>();
const opened: Duplex[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-vsock-"));
  path = join(directory, "vsock.sock");
  server = createServer((socket) => {
    peers.add(socket);
    socket.on("error", () => undefined);
    // One that is not read does not see its peer leave.
    socket.resume();
    socket.on("close", () => peers.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterEach(async () => {
  for (const stream of opened.splice(0)) stream.destroy();
  for (const peer of peers) peer.destroy();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true });
});

const open = async (signal = never): Promise<Duplex> => {
  const stream = await connectVsock(path, quickLimits, signal);
  opened.push(stream);
  return stream;
};
/** The first bytes of the stream, as many as there are in the text. */
const firstText = async (stream: Duplex, length: number): Promise<string> => {
  let text = "";
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += (chunk as Buffer).toString("latin1");
    if (text.length >= length) break;
  }
  return text;
};
const noPeers = (): Promise<void> =>
  vi.waitFor(() => expect(peers.size).toBe(0));

describe("a connection over vsock", () => {
  it("asks for the port on which the image's agent listens", async () => {
    const asked = new Promise<string>((resolve) => {
      serve = (socket) => {
        socket.on("data", (chunk: Buffer) => resolve(chunk.toString()));
        socket.write("OK 1\n");
      };
    });
    await open();
    expect(await asked).toBe("CONNECT 1024\n");
    for (const recipe of recipes) {
      const name = "rootfs/etc/systemd/system/qemu-guest-agent-vsock.service";
      const unit = await readFile(join(recipe.directory, name), "utf8");
      expect(unit).toContain("-m vsock-listen -p 4294967295:1024\n");
    }
  });

  it.each([
    ["in one piece with bytes of the stream", ["OK 1073741824\nfirst bytes"]],
    ["and then bytes of the stream", ["OK 0\n", "first ", "bytes"]],
    ["byte by byte", Array.from("OK 4294967295\nfirst bytes")],
    ["cut at its newline", ["OK 3", "\nfirst", " bytes"]],
  ])("is the stream behind an answer that comes %s", async (_how, pieces) => {
    serve = (socket) => {
      void (async () => {
        for (const piece of pieces) {
          socket.write(piece, "latin1");
          await pause(1);
        }
      })();
    };
    const stream = await open();
    expect(await firstText(stream, 11)).toBe("first bytes");
  });

  it("loses nothing of much that follows at once, and carries bytes both ways", async () => {
    const much = Buffer.alloc(300_000, "abcdefghij");
    serve = (socket) => {
      socket.write(Buffer.concat([Buffer.from("OK 9\n"), much]));
      socket.once("data", () => socket.on("data", (c) => socket.write(c)));
    };
    const stream = await open();
    expect(await firstText(stream, much.length)).toBe(much.toString());
    stream.write("there and back");
    expect(await firstText(stream, 14)).toBe("there and back");
  });

  it.each<[string, (socket: Socket) => unknown, string]>([
    ["is closed", (socket) => socket.end(), "ERR_AGENT_CONNECTION"],
    ["breaks", (socket) => socket.destroy(), "ERR_AGENT_CONNECTION"],
    [
      "is closed within the line",
      (socket) => socket.end("OK 12"),
      "ERR_AGENT_CONNECTION",
    ],
    ["says no", (socket) => socket.write("NO\n"), "ERR_AGENT_PROTOCOL"],
    ["says nothing", () => undefined, "ERR_AGENT_TIMEOUT"],
    ["says half a line", (socket) => socket.write("OK 1"), "ERR_AGENT_TIMEOUT"],
    [
      "never ends the line",
      (socket) => socket.write(Buffer.alloc(1 << 20, "1")),
      "ERR_AGENT_PROTOCOL",
    ],
    [
      "answers with the agent's words",
      (socket) => socket.write('{"return": {}}\n'),
      "ERR_AGENT_PROTOCOL",
    ],
  ])("fails when it %s, and leaves no socket", async (_what, act, code) => {
    serve = act;
    expect(await errorCode(open())).toBe(code);
    await noPeers();
  });

  it("fails when there is no VMM, and at once when cancelled", async () => {
    serve = () => undefined;
    const missing = connectVsock(`${path}.no`, quickLimits, never);
    expect(await errorCode(missing)).toBe("ERR_AGENT_CONNECTION");
    expect(await errorCode(open(AbortSignal.abort()))).toBe("ERR_CANCELLED");
    const cancel = new AbortController();
    const opening = open(cancel.signal);
    await vi.waitFor(() => expect(peers.size).toBe(1));
    cancel.abort();
    expect(await errorCode(opening)).toBe("ERR_CANCELLED");
    await noPeers();
  });
});

describe("VsockAnswer", () => {
  it.each([
    "OK \n",
    "OK -1\n",
    "OK 4294967296\n",
    "OK 99999999999\n",
    "ok 1\n",
    "OK  1\n",
    "OK 1 \n",
    "OK 1\r\n",
    "\n",
    "\0\0\0\0\n",
    "OK 1e3\n",
  ])("refuses %j", (line) => {
    expect(() => new VsockAnswer().push(Buffer.from(line))).toThrow(
      expect.objectContaining({ code: "ERR_AGENT_PROTOCOL" }),
    );
  });
});
