import { once } from "node:events";
import { chmodSync, chownSync, renameSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** When the helper dies: before it hears of a request, while it carries it out, or before anybody hears that it has. */
export type Moment = "before" | "during" | "after";

export interface HelperKill {
  /** the request, counted from 1 */
  readonly at: number;
  readonly moment: Moment;
}

/** A request that changes something, as it went by. */
export interface PassedRequest {
  readonly name: string;
  /** absent while it is under way */
  durationMs?: number;
}

/** The helper that a proxy stands before. */
interface Helper {
  readonly socket: string;
  kill(): Promise<void>;
}

/**
 * Stands between daemon and root helper, counts what is asked for, and kills the helper with SIGKILL at the request that it is told. Then the
 * socket is as a dead helper leaves it: there, and nobody answers.
 */
export class HelperProxy {
  readonly #helper: Helper;
  readonly #passed: PassedRequest[] = [];
  readonly #connections = new Set<Socket>();
  #server: Server | undefined;
  #plan: HelperKill | undefined;
  #usualMs = 0;
  #died: string | undefined;
  #killed: Promise<void> = Promise.resolve();

  constructor(helper: Helper) {
    this.#helper = helper;
  }

  /** Takes the place of the socket of a helper that has just begun to answer. */
  async insert(): Promise<void> {
    const { socket } = this.#helper;
    const { uid, gid, mode } = statSync(socket);
    renameSync(socket, this.#behind);
    const server = createServer({ allowHalfOpen: true }, (client) => {
      this.#serve(client);
    });
    server.listen(socket);
    await once(server, "listening");
    chownSync(socket, uid, gid);
    chmodSync(socket, mode);
    this.#server = server;
  }

  /** Counts from the next request on, and kills at the one of the plan. @param usualMs how long that one takes undisturbed */
  arm(plan?: HelperKill, usualMs = 0): void {
    this.#plan = plan;
    this.#usualMs = usualMs;
    this.#passed.splice(0);
    this.#died = undefined;
  }

  /** Requests since it was armed, in their order. */
  passed(): readonly PassedRequest[] {
    return [...this.#passed];
  }

  /** Waits for a kill that is under way. @returns the request in which the helper died since it was armed */
  async died(): Promise<string | undefined> {
    await this.#killed;
    return this.#died;
  }

  /** Gives the socket back to the helper; that of a dead one stays as it has left it. Idempotent. */
  async withdraw(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const { socket } = this.#helper;
    // Closing would remove it.
    renameSync(socket, `${socket}.dead`);
    const closed = once(server, "close");
    server.close();
    for (const one of this.#connections) one.destroy();
    await closed;
    if (this.#died === undefined) {
      rmSync(`${socket}.dead`);
      renameSync(this.#behind, socket);
    } else {
      renameSync(`${socket}.dead`, socket);
      rmSync(this.#behind);
    }
  }

  get #behind(): string {
    return `${this.#helper.socket}.behind`;
  }

  #serve(client: Socket): void {
    this.#connections.add(client);
    client.on("close", () => this.#connections.delete(client));
    client.on("error", () => client.destroy());
    const line: Buffer[] = [];
    const collect = (chunk: Buffer): void => {
      line.push(chunk);
      if (!chunk.includes("\n")) return;
      client.off("data", collect).pause();
      void this.#handOn(client, Buffer.concat(line));
    };
    client.on("data", collect);
  }

  async #handOn(client: Socket, line: Buffer): Promise<void> {
    const { request } = JSON.parse(line.toString()) as { request: string };
    const passed: PassedRequest = { name: request };
    if (changes(request)) this.#passed.push(passed);
    const isLast = this.#passed.length === this.#plan?.at && changes(request);
    const moment = isLast ? this.#plan?.moment : undefined;
    if (moment === "before") return this.#kill(request);
    const started = performance.now();
    const helper = connect({ path: this.#behind, allowHalfOpen: true });
    helper.on("error", () => client.destroy());
    helper.write(line);
    client.on("data", (chunk: Buffer) => helper.write(chunk));
    client.on("end", () => helper.end());
    client.on("close", () => helper.destroy());
    client.resume();
    if (moment === "during")
      void sleep(this.#usualMs / 2).then(() => this.#kill(request));
    const answer: Buffer[] = [];
    helper.on("data", (chunk: Buffer) => answer.push(chunk));
    helper.on("close", () => client.destroy());
    helper.on("end", () => {
      if (moment === "after") {
        void this.#kill(request);
        return;
      }
      passed.durationMs = performance.now() - started;
      client.end(Buffer.concat(answer));
    });
  }

  async #kill(request: string): Promise<void> {
    if (this.#died !== undefined) return;
    this.#died = request;
    this.#killed = this.#helper.kill().then(() => this.withdraw());
    await this.#killed;
  }
}

/** Requests that only look, and those for the pool, come at any time, from rounds of the daemon. */
function changes(request: string): boolean {
  return !/^helper\.|-pool$|\.(read|show|check|find|inspect|refusals|status)/.test(
    request,
  );
}
