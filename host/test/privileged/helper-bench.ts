import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  definePrivilegedRequest,
  InvalidValueError,
  type AnyPrivilegedRequest,
} from "@banger/core";
import {
  fakeInstall,
  memoryLogger,
  type LogEntry,
  type MemoryLogger,
} from "@banger/core/testing";
import { onTestFinished } from "vitest";
import { z } from "zod";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { HelperPrivileged } from "../../src/privileged/helper-privileged.js";
import { HelperServer } from "../../src/privileged/helper-server.js";
import { pingRequest } from "../../src/privileged/ping-request.js";
import { collectRequests } from "../../src/privileged/request-registry.js";

export const isRoot = process.getuid?.() === 0;

/** Two users who are not root: the owner of the install, and somebody else. */
export const ownerId = 65534;
export const foreignId = 65533;

export const build = { version: "1.0.0", build: "0123456789ab" };

/** Gives back what it gets. */
export const echo = definePrivilegedRequest({
  name: "test.echo",
  input: z.strictObject({ text: z.string().max(100_000) }),
  output: z.strictObject({ text: z.string() }),
  timeoutMs: 5_000,
  run: async ({ text }) => Promise.resolve({ text }),
});

/** Takes nothing and gives nothing. */
export const nothing = definePrivilegedRequest({
  name: "test.nothing",
  input: z.undefined(),
  output: z.undefined(),
  timeoutMs: 5_000,
  run: async () => Promise.resolve(undefined),
});

/** Fails as a request does. */
export const fail = definePrivilegedRequest({
  name: "test.fail",
  input: z.strictObject({ how: z.enum(["known", "bug"]) }),
  output: z.undefined(),
  timeoutMs: 5_000,
  run: async ({ how }) => {
    await Promise.resolve();
    if (how === "bug") throw new Error("a broken invariant");
    throw new InvalidValueError("there is no such thing", {
      hint: "Name another",
      cause: new Error("the reason"),
    });
  },
});

/** What the requests that are waiting have seen. */
export interface Waits {
  running: number;
  mostRunning: number;
  aborted: number;
  settled: number;
}

/** Answers after a time, or some time after its abort. */
export function waitRequest(waits: Waits, abortMs = 0): AnyPrivilegedRequest {
  return definePrivilegedRequest({
    name: "test.wait",
    input: z.strictObject({ ms: z.int().min(0).max(60_000) }),
    output: z.strictObject({}),
    timeoutMs: 30_000,
    run: async ({ ms }, { signal }) => {
      waits.running += 1;
      waits.mostRunning = Math.max(waits.mostRunning, waits.running);
      try {
        await sleep(ms, undefined, { signal });
        return {};
      } catch (error) {
        waits.aborted += 1;
        await sleep(abortMs);
        throw error;
      } finally {
        waits.running -= 1;
        waits.settled += 1;
      }
    },
  });
}

export function noWaits(): Waits {
  return { running: 0, mostRunning: 0, aborted: 0, settled: 0 };
}

export interface Bench {
  readonly socketPath: string;
  readonly server: HelperServer;
  readonly logger: MemoryLogger;
}

/** Where a helper's socket can be: below a directory that others may pass. */
export async function socketPlace(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "banger-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755);
  return join(directory, "root", "helper.sock");
}

/** A helper that is not started yet. */
export function helperAt(
  socketPath: string,
  options: {
    readonly owner?: number;
    readonly requests?: readonly AnyPrivilegedRequest[];
  } = {},
): Bench {
  const { owner = ownerId, requests = [] } = options;
  const logger = memoryLogger();
  const server = new HelperServer({
    socketPath,
    install: fakeInstall({ owner: { uid: owner, gid: owner } }),
    requests: collectRequests({
      host: [pingRequest(build), echo, nothing, fail, ...requests],
      plugins: [],
    }),
    commands: new ExecaCommandRunner(),
    logger,
  });
  onTestFinished(() => server.close(0));
  return { socketPath, server, logger };
}

/** A helper that answers. */
export async function startHelper(
  options: Parameters<typeof helperAt>[1] = {},
): Promise<Bench> {
  const bench = helperAt(await socketPlace(), options);
  await bench.server.listen();
  return bench;
}

/** A client of this process, so of root. */
export function clientOf(
  socketPath: string,
  options: {
    readonly uid?: number;
    readonly service?: "systemd" | "none";
  } = {},
): HelperPrivileged {
  const { uid = process.getuid?.() ?? 0, service = "systemd" } = options;
  const logger = memoryLogger();
  return new HelperPrivileged({ socketPath, uid, service, build, logger });
}

/** What one says who asks for something. */
export function lineOf(
  request: string,
  input: unknown,
  more: Readonly<Record<string, unknown>> = {},
): string {
  return `${JSON.stringify({ version: 1, request, input, ...more })}\n`;
}

/** What came back: the answer's value, or nothing when the connection was closed without one. */
export interface Reply {
  readonly ok?: boolean;
  readonly output?: unknown;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly kind: string;
    readonly hint?: string;
  };
}

export function open(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => undefined);
      resolve(socket);
    });
  });
}

/** Everything that comes until the other side closes. */
export async function replyOn(socket: Socket): Promise<Reply> {
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  await new Promise((resolve) => {
    socket.once("end", resolve).once("close", resolve);
  });
  socket.destroy();
  return text === "" ? {} : (JSON.parse(text) as Reply);
}

/** Sends bytes as they are. @param ends does the client close its side after them? */
export async function send(
  socketPath: string,
  bytes: string | Uint8Array,
  ends = false,
): Promise<Reply> {
  const socket = await open(socketPath);
  const reply = replyOn(socket);
  if (ends) socket.end(bytes);
  else socket.write(bytes);
  return reply;
}

const program = `
const socket = require("node:net").connect(process.argv[1], () => process.stdin.pipe(socket, { end: false }));
socket.on("error", (error) => { process.stdout.write(JSON.stringify({ refused: error.code })); process.exit(); });
socket.pipe(process.stdout);
socket.on("end", () => process.exit());
`;

/** The same from a process of another user. @returns the answer; `refused` when it cannot connect */
export function sendAs(
  id: number,
  socketPath: string,
  line: string,
): Promise<Reply & { readonly refused?: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["-e", program, socketPath], {
      cwd: "/",
      uid: id,
      gid: id,
      stdio: ["pipe", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    child.on("error", reject);
    child.on("close", () => {
      resolve(text === "" ? {} : (JSON.parse(text) as Reply));
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(line);
  });
}

/** Entries of the log that are about requests. */
export function requestLog({ logger }: Bench): readonly LogEntry[] {
  return logger.entries.filter(({ message }) => /^Request /.test(message));
}
