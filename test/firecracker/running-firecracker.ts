import { spawn, type ChildProcess } from "node:child_process";
import { request } from "node:http";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { ProvidedFirecracker } from "./provide-firecracker.js";

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number;
  /** parsed; `undefined` when there is none */
  readonly body: unknown;
}

/** How a process has ended. */
export interface ProcessEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** stdout and stderr */
  readonly output: string;
}

/** A contract server that a test talks to. */
export class RunningFirecracker {
  readonly process: ChildProcess;
  readonly ended: Promise<ProcessEnd>;
  readonly #socket: string;

  private constructor(program: string, args: readonly string[], sock: string) {
    this.#socket = sock;
    this.process = spawn(program, args, {
      env: {},
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [this.process.stdout, this.process.stderr])
      stream?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    this.ended = new Promise((done, reject) => {
      this.process.on("error", reject);
      this.process.on("close", (status, signal) => {
        done({ status, signal, output });
      });
    });
  }

  /** Starts a program and waits until its socket takes connections. @throws Error when it ends instead */
  static async start(
    program: string,
    args: readonly string[],
    apiSocket: string,
  ): Promise<RunningFirecracker> {
    const running = new RunningFirecracker(program, args, apiSocket);
    let end: ProcessEnd | undefined;
    void running.ended.then((seen) => (end = seen));
    while (!(await accepts(apiSocket))) {
      if (end) throw new Error(`ended at once: ${end.output}`);
      await pause(10);
    }
    return running;
  }

  /** The server itself, with a socket in its folder. */
  static async direct(
    provided: ProvidedFirecracker,
    name: string,
    args: readonly string[] = [],
  ): Promise<RunningFirecracker> {
    const socket = `${provided.directory}/${name}.sock`;
    return RunningFirecracker.start(
      provided.firecracker,
      ["--id", name, "--api-sock", socket, ...args],
      socket,
    );
  }

  /** Sends a request. @param body sent as JSON, a string as it is @throws Error when there is no whole answer */
  async send(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const text =
      body === undefined || typeof body === "string"
        ? body
        : JSON.stringify(body);
    return new Promise((done, reject) => {
      const headers =
        text === undefined ? {} : { "Content-Length": Buffer.byteLength(text) };
      const sent = request(
        { socketPath: this.#socket, method, path, headers, agent: false },
        (response) => {
          let received = "";
          response.on(
            "data",
            (chunk: Buffer) => (received += chunk.toString()),
          );
          response.on("error", reject);
          response.on("end", () => {
            done({
              status: response.statusCode ?? 0,
              body: received === "" ? undefined : JSON.parse(received),
            });
          });
        },
      );
      sent.on("error", reject);
      sent.end(text);
    });
  }

  /** The message of a refusal. @throws Error when it is none */
  async refusal(method: string, path: string, body?: unknown): Promise<string> {
    const answer = await this.send(method, path, body);
    if (answer.status !== 400)
      throw new Error(`${method} ${path}: ${String(answer.status)}`);
    return (answer.body as { fault_message: string }).fault_message;
  }

  /** Sends bytes and collects what comes back until the server hangs up. */
  async raw(bytes: string): Promise<string> {
    return new Promise((done, reject) => {
      const socket = connect(this.#socket);
      let received = "";
      socket.on("data", (chunk) => (received += chunk.toString("latin1")));
      socket.on("error", reject);
      socket.on("close", () => {
        done(received);
      });
      socket.write(bytes);
    });
  }

  async stop(): Promise<ProcessEnd> {
    this.process.kill("SIGTERM");
    return this.ended;
  }
}

/** Does somebody listen? A socket's file is there a moment before. */
async function accepts(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path, () => {
      socket.destroy();
      done(true);
    });
    socket.on("error", () => {
      done(false);
    });
  });
}
