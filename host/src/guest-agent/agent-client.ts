import { randomInt } from "node:crypto";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import {
  CancelledError,
  isBangerError,
  KeyedLock,
  throwIfCancelled,
  withAnySignal,
} from "@banger/core";
import { AgentChannel } from "./agent-channel.js";
import {
  AgentConnectionError,
  AgentRefusedError,
  AgentTimeoutError,
} from "./agent-errors.js";
import { agentLimits, type AgentLimits } from "./agent-limits.js";
import { parseReply, parseSyncAnswer } from "./agent-reply.js";
import { withLimit } from "./agent-time-limit.js";

/**
 * Opens a byte stream to the agent: a virtio-serial port's socket, or vsock.
 * @throws AgentConnectionError when nobody listens (yet), another agent error when whoever listens is odd
 */
export type OpenTransport = (signal: AbortSignal) => Promise<Duplex>;

/**
 * A client of qemu-guest-agent over any byte stream. The agent's port serves one client and answers in order, so there is one
 * connection and one request at a time; others wait. After a lost connection, a time-out or an odd answer the next request
 * connects or synchronises anew, so a late answer is never taken for another request's.
 * @see QEMU, qga/qapi-schema.json: guest-sync-delimited
 */
export class AgentClient {
  readonly #open: OpenTransport;
  readonly #limits: AgentLimits;
  readonly #turn = new KeyedLock();
  readonly #ended = new AbortController();
  #channel: AgentChannel | undefined;
  #inStep = false;

  constructor(open: OpenTransport, limits: AgentLimits = agentLimits) {
    this.#open = open;
    this.#limits = limits;
  }

  /** Is there an open connection? */
  get connected(): boolean {
    return this.#channel !== undefined && !this.#channel.closed;
  }

  /** Does nobody use it or wait for it? */
  get idle(): boolean {
    return this.#turn.size === 0;
  }

  /**
   * Resolves at the agent's first valid answer, however often the connection must be opened until then.
   * @throws CancelledError after `signal`
   */
  async waitUntilReady(signal: AbortSignal): Promise<void> {
    await this.#alone(signal, async (mine) => {
      for (;;) {
        try {
          this.#inStep = false;
          await this.#synchronise(await this.#connect(mine), mine);
          return;
        } catch (error) {
          // Nobody listens yet, or the guest's firmware talks on the port: only the caller's limit ends the wait.
          if (!isBangerError(error) || error instanceof CancelledError)
            throw error;
          await pause(this.#limits.connectRetryMs, undefined, {
            signal: mine,
          }).catch((reason: unknown) => {
            throw new CancelledError("waiting for the guest agent", reason);
          });
        }
      }
    });
  }

  /**
   * Sends a command and returns the value of its answer, which the caller must validate.
   * @throws AgentConnectionError, AgentProtocolError, AgentTimeoutError, AgentRefusedError, CancelledError after `signal`
   */
  async request(
    command: string,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { syncTimeoutMs, replyTimeoutMs } = this.#limits;
    return this.#alone(signal, async (mine) => {
      const channel = await this.#channelInStep(mine, syncTimeoutMs);
      return withLimit(mine, replyTimeoutMs, command, (limited) =>
        this.#exchange(channel, command, args, limited),
      );
    });
  }

  /**
   * Sends a command that has no answer when it succeeds. Resolves when it was handed over and no refusal came within a grace, or
   * when the connection ended, which is what a guest does that powers off.
   * @throws as {@link request}
   */
  async send(
    command: string,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { syncTimeoutMs, refusalGraceMs } = this.#limits;
    await this.#alone(signal, async (mine) => {
      // A lost connection counts as success below, so it must be known to work before.
      this.#inStep = false;
      const channel = await this.#channelInStep(mine, syncTimeoutMs);
      try {
        await withLimit(mine, refusalGraceMs, command, (limited) =>
          this.#exchange(channel, command, args, limited),
        );
      } catch (error) {
        const silent = error instanceof AgentTimeoutError;
        if (!silent && !(error instanceof AgentConnectionError)) throw error;
      }
    });
  }

  /** Closes the connection for good; requests under way are cancelled. Idempotent. */
  close(): void {
    this.#ended.abort();
    this.#channel?.close();
  }

  #alone<T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return withAnySignal([signal, this.#ended.signal], (mine) =>
      this.#turn.run("the guest agent", mine, () => work(mine)),
    );
  }

  async #channelInStep(
    signal: AbortSignal,
    limitMs: number,
  ): Promise<AgentChannel> {
    if (this.connected && this.#inStep && this.#channel) return this.#channel;
    return withLimit(signal, limitMs, "synchronising", async (limited) => {
      const kept = this.connected;
      try {
        return await this.#freshlyInStep(limited);
      } catch (error) {
        // A kept connection may have ended unnoticed.
        if (!kept || !(error instanceof AgentConnectionError)) throw error;
        return this.#freshlyInStep(limited);
      }
    });
  }

  async #freshlyInStep(signal: AbortSignal): Promise<AgentChannel> {
    const channel = await this.#connect(signal);
    await this.#synchronise(channel, signal);
    return channel;
  }

  async #connect(signal: AbortSignal): Promise<AgentChannel> {
    if (this.#channel && !this.#channel.closed) return this.#channel;
    this.#inStep = false;
    const transport = await this.#open(signal);
    if (signal.aborted) transport.destroy();
    throwIfCancelled(signal, "connecting to the guest agent");
    this.#channel = new AgentChannel(transport, this.#limits);
    return this.#channel;
  }

  /**
   * Asks for a random number back until it comes. A request that was sent before the agent ran may be lost or may wait for it, so
   * it is repeated; the answer to any of them will do, and the others are recognised by their delimiter when they come later.
   */
  async #synchronise(
    channel: AgentChannel,
    signal: AbortSignal,
  ): Promise<void> {
    const { syncIntervalMs, slowSyncIntervalMs, quickSyncs } = this.#limits;
    const asked = new Set<number>();
    let timer: NodeJS.Timeout | undefined;
    const ask = (): void => {
      if (channel.closed) return;
      // 47 bits: exact in a JSON number on both sides.
      const id = randomInt(1, 2 ** 47);
      asked.add(id);
      // The byte before it makes the agent drop half a request that somebody left behind.
      channel.write(
        Buffer.concat([
          Buffer.from([0xff]),
          render("guest-sync-delimited", { id }),
        ]),
      );
      timer = setTimeout(
        ask,
        asked.size < quickSyncs ? syncIntervalMs : slowSyncIntervalMs,
      );
    };
    channel.resync();
    try {
      ask();
      await channel.next(({ delimited, line }) => {
        const id = delimited ? parseSyncAnswer(line) : undefined;
        return id !== undefined && asked.has(id) ? true : undefined;
      }, signal);
      this.#inStep = true;
    } finally {
      clearTimeout(timer);
    }
  }

  async #exchange(
    channel: AgentChannel,
    command: string,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<unknown> {
    // Until the answer is read the next one to ask would read it.
    this.#inStep = false;
    channel.write(render(command, args));
    const { line } = await channel.next(
      (frame) => (frame.delimited ? undefined : frame),
      signal,
    );
    try {
      const value = parseReply(command, line);
      this.#inStep = true;
      return value;
    } catch (error) {
      this.#inStep = error instanceof AgentRefusedError;
      throw error;
    }
  }
}

function render(
  command: string,
  args: Readonly<Record<string, unknown>>,
): Buffer {
  const request =
    Object.keys(args).length === 0
      ? { execute: command }
      : { execute: command, arguments: args };
  return Buffer.from(`${JSON.stringify(request)}\n`);
}
