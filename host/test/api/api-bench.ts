import {
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from "node:http";
import { connect, type Socket } from "node:net";
import {
  OperationRegistry,
  type GuestCommand,
  type GuestSsh,
  type VmRecord,
  type VmService,
} from "@banger/core";
import { fakeVm, memoryLogger, type MemoryLogger } from "@banger/core/testing";
import { onTestFinished } from "vitest";
import { Activity } from "../../src/api/activity.js";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  streamProtocol,
  type ControlMessage,
  type Frame,
} from "../../src/api/frames.js";
import type { Route } from "../../src/api/route.js";
import { operationRoutes } from "../../src/api/routes/operation-routes.js";
import { vmRoutes } from "../../src/api/routes/vm-routes.js";
import { ApiServer } from "../../src/api/server.js";
import { ConsoleReader } from "../../src/files/console-reader.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { FakeProcess } from "./fake-process.js";

export interface Bench {
  readonly socketPath: string;
  readonly server: ApiServer;
  readonly operations: OperationRegistry;
  readonly activity: Activity;
  readonly config: { changed: boolean };
  readonly logger: MemoryLogger;
  readonly process: FakeProcess;
  readonly executed: GuestCommand[];
  readonly launched: VmRecord[];
}

/** A server on a socket of its own, with the VM routes over a service that the test plays. */
export async function startServer(
  vmService: Partial<VmService> = {},
  more: readonly Route[] = [],
  vm: VmRecord = fakeVm({ state: "running" }),
): Promise<Bench> {
  const socketPath = `${await temporaryDirectory()}/bangerd.sock`;
  const logger = memoryLogger();
  const operations = new OperationRegistry({ logger });
  const activity = new Activity(operations, () => undefined);
  const process = new FakeProcess();
  const executed: GuestCommand[] = [];
  const launched: VmRecord[] = [];
  const service = {
    list: () => Promise.resolve([vm]),
    get: () => Promise.resolve(vm),
    getRunning: () => Promise.resolve(vm),
    ...vmService,
  } as unknown as VmService;
  const guestSsh: GuestSsh = {
    exec: (_vm, command) => {
      executed.push(command);
      return Promise.resolve(process);
    },
    connect: () => Promise.resolve(),
    disconnect: () => Promise.resolve(),
    openPort: () => Promise.reject(new Error("no port is opened here")),
  };
  const config = { changed: false };
  const routes = vmRoutes({
    vmService: service,
    consoleReader: new ConsoleReader(),
    checkRequirements: () => Promise.resolve(),
    onLaunched: (started) => launched.push(started),
  });
  const server = new ApiServer({
    routes: [...routes, ...operationRoutes({ operations }), ...more],
    version: "1.2.3",
    build: "build-a",
    configChanged: () => config.changed,
    socketPath,
    logger,
    operations,
    activity,
    vmService: service,
    guestSsh,
  });
  await server.listen();
  onTestFinished(() => server.close());
  return {
    ...{ socketPath, server, operations, activity, config },
    ...{ logger, process, executed, launched },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Opens a request; its answer may still be under way. */
export function open(
  { socketPath }: Pick<Bench, "socketPath">,
  method: string,
  path: string,
  body?: string,
  headers: Record<string, string> = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const type =
      body === undefined ? {} : { "content-type": "application/json" };
    request(
      { socketPath, method, path, headers: { ...type, ...headers } },
      resolve,
    )
      .on("error", reject)
      .end(body);
  });
}

export async function ask(...args: Parameters<typeof open>): Promise<Answer> {
  const response = await open(...args);
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

/** The client's side of an upgraded connection. */
export class StreamClient {
  readonly frames: Frame[] = [];
  readonly closed: Promise<void>;
  readonly socket: Socket;
  readonly #decoder = new FrameDecoder();
  #waiting: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        resolve();
        this.#wake();
      });
    });
    socket.on("error", () => undefined);
  }

  /** Upgrades and, unless told otherwise, reads. */
  static async open(
    { socketPath }: Pick<Bench, "socketPath">,
    options: { path?: string; isReading?: boolean; build?: string } = {},
  ): Promise<StreamClient> {
    const socket = connect(socketPath);
    const client = new StreamClient(socket);
    const path = options.path ?? "/v1/vms/calm-otter/exec";
    const build =
      options.build === undefined ? "" : `banger-build: ${options.build}\r\n`;
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: banger\r\n${build}Connection: Upgrade\r\nUpgrade: ${streamProtocol}\r\n\r\n`,
    );
    const head = await client.#readHead();
    if (!head.startsWith("HTTP/1.1 101 ")) throw new Error(head);
    if (options.isReading ?? true) client.read();
    return client;
  }

  read(): void {
    this.socket.on("data", (chunk: Buffer) => {
      this.frames.push(...this.#decoder.push(chunk));
      this.#wake();
    });
  }

  control(message: ControlMessage | Record<string, unknown>): void {
    this.socket.write(encodeControl(message as ControlMessage));
  }

  input(text: string): void {
    this.socket.write(encodeFrame(Channel.stdin, Buffer.from(text)));
  }

  /** What came on a channel so far. */
  text(channel: number): string {
    return Buffer.concat(
      this.frames
        .filter((frame) => frame.channel === channel)
        .map(({ payload }) => payload),
    ).toString();
  }

  async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      if (this.socket.destroyed) throw new Error("the server hung up");
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The last frame: `exit` or `error`. */
  async last(): Promise<Record<string, unknown>> {
    const find = (): Frame | undefined =>
      this.frames.find(({ channel }) => channel === Channel.control);
    await this.until(() => find() !== undefined);
    return JSON.parse(find()?.payload.toString() ?? "") as Record<
      string,
      unknown
    >;
  }

  async #readHead(): Promise<string> {
    let head = "";
    while (!head.includes("\r\n\r\n")) {
      const byte = this.socket.read(1) as Buffer | null;
      if (byte) head += byte.toString("latin1");
      else
        await new Promise<void>((resolve) => {
          this.socket.once("readable", resolve);
        });
    }
    return head;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
