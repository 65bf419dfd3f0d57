import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import {
  abortAfter,
  GuestConnectionError,
  type GuestCommand,
  type GuestKeys,
  type GuestProcess,
  type GuestSsh,
  type Logger,
  type VmRecord,
} from "@banger/core";
import type { ClientChannel } from "ssh2";
import type { ClientKey } from "../keys/file-guest-keys.js";
import { ChannelProcess } from "./channel-process.js";
import { renderCommandLine, renderKillLine } from "./command-line.js";
import { GuestConnections } from "./guest-connections.js";
import {
  PortRefusedError,
  SessionNotOpenedError,
  type SshConnection,
} from "./ssh-connection.js";
import { sshLimits, type SshLimits } from "./ssh-limits.js";

/** Pause between two looks whether a process group is gone, ms. */
const killPollMs = 100;
/** Longest wait for the shell that has sent SIGKILL to end, ms. */
const killEndMs = 5_000;

/**
 * SSH by ssh2: one kept-alive connection to each VM, as root, with the VM's host key pinned. Commands run in root's login shell,
 * which must be a POSIX shell. A working directory that is not there ends the command with status 125 and a line on stderr.
 */
export class Ssh2GuestSsh implements GuestSsh {
  readonly #connections: GuestConnections;
  readonly #limits: SshLimits;
  readonly #logger: Logger;

  constructor(
    {
      guestKeys,
      logger,
    }: { readonly guestKeys: GuestKeys & ClientKey; readonly logger: Logger },
    limits: SshLimits = sshLimits,
  ) {
    this.#connections = new GuestConnections(guestKeys, limits);
    this.#limits = limits;
    this.#logger = logger;
  }

  async connect(vm: VmRecord, signal: AbortSignal): Promise<void> {
    await this.#connections.get(vm, signal);
  }

  async exec(
    vm: VmRecord,
    command: GuestCommand,
    signal: AbortSignal,
  ): Promise<GuestProcess> {
    const token = randomBytes(16).toString("hex");
    const line = renderCommandLine(command, token);
    return this.#onLiveConnection(vm, signal, (connection) =>
      this.#start(vm, connection, command, { token, line }, signal),
    );
  }

  async openPort(
    vm: VmRecord,
    port: number,
    signal: AbortSignal,
  ): Promise<Duplex> {
    const { portTimeoutMs } = this.#limits;
    return this.#onLiveConnection(vm, signal, async (connection) => {
      const limit = abortAfter(portTimeoutMs);
      const either = AbortSignal.any([signal, limit]);
      try {
        return await openLocalPort(connection, port, either);
      } catch (error) {
        if (signal.aborted || !limit.aborted) throw error;
        const what = `no connection to port ${port} within ${portTimeoutMs / 1000} s`;
        throw new GuestConnectionError(vm.name, what, error);
      }
    });
  }

  async disconnect(vm: VmRecord): Promise<void> {
    this.#connections.close(vm.id);
  }

  /** Closes every connection; for the daemon's end. Idempotent. */
  async close(): Promise<void> {
    this.#connections.closeAll();
  }

  /** The kept connection may be dead and nobody knows: what was not begun there is tried once on a new one. */
  async #onLiveConnection<T>(
    vm: VmRecord,
    signal: AbortSignal,
    work: (connection: SshConnection) => Promise<T>,
  ): Promise<T> {
    const connection = await this.#connections.get(vm, signal);
    try {
      return await work(connection);
    } catch (error) {
      if (!(error instanceof SessionNotOpenedError) || !connection.closed)
        throw error;
      return work(await this.#connections.get(vm, signal));
    }
  }

  async #start(
    vm: VmRecord,
    connection: SshConnection,
    { terminal }: GuestCommand,
    { token, line }: { token: string; line: string },
    signal: AbortSignal,
  ): Promise<GuestProcess> {
    const end = (process: ChannelProcess): void => {
      process.terminate().catch((error: unknown) => {
        this.#logger.warn("Guest process could not be ended", {
          vmId: vm.id,
          error,
        });
      });
    };
    const attach = (channel: ClientChannel): ChannelProcess =>
      new ChannelProcess(channel, {
        connection,
        token,
        vmName: vm.name,
        limits: this.#limits,
        hasTerminal: terminal !== undefined,
        killGroup: (group) => this.#killGroup(vm, connection, group),
      });
    // Nobody reads what a process writes that came too late.
    const abandon = (late: ChannelProcess): void => {
      late.stdout.destroy();
      late.stderr.destroy();
      end(late);
    };
    const started = await connection.open(
      { line, terminal, attach, abandon },
      signal,
    );
    const onAbort = (): void => end(started);
    const forget = (): void => signal.removeEventListener("abort", onAbort);
    signal.addEventListener("abort", onAbort);
    started.exit.then(forget, forget);
    if (signal.aborted) onAbort();
    return started;
  }

  async #killGroup(
    vm: VmRecord,
    connection: SshConnection,
    group: number,
  ): Promise<void> {
    const { signal } = new AbortController();
    try {
      await this.#runKill(connection, group, signal);
    } catch (error) {
      if (!(error instanceof SessionNotOpenedError) || connection.closed)
        throw error;
      // The guest's bound on sessions holds for each connection.
      const extra = await this.#connections.dial(vm, signal);
      try {
        await this.#runKill(extra, group, signal);
      } finally {
        extra.destroy();
      }
    }
  }

  async #runKill(
    connection: SshConnection,
    group: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { terminateGraceMs } = this.#limits;
    const line = renderKillLine(group);
    const attach = (channel: ClientChannel): KillSession => {
      channel.on("error", () => undefined);
      channel.resume();
      channel.stderr.resume();
      const gone = new AbortController();
      channel.on("close", () => gone.abort());
      return { channel, gone: gone.signal };
    };
    const { channel, gone } = await connection.open(
      { line, urgent: true, attach, abandon: (late) => late.channel.end() },
      signal,
    );
    for (let past = 0; past < terminateGraceMs; past += killPollMs) {
      await pauseUnless(gone, killPollMs);
      if (gone.aborted) return;
      channel.write("\n");
    }
    channel.end();
    await pauseUnless(gone, killEndMs);
    channel.close();
  }
}

/** A program may listen on one of the guest's two loopback addresses only. */
async function openLocalPort(
  connection: SshConnection,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  try {
    return await connection.openPort("127.0.0.1", port, signal);
  } catch (error) {
    if (!(error instanceof PortRefusedError)) throw error;
    return connection.openPort("::1", port, signal);
  }
}

interface KillSession {
  readonly channel: ClientChannel;
  /** aborts when the session has closed */
  readonly gone: AbortSignal;
}

function pauseUnless(gone: AbortSignal, ms: number): Promise<void> {
  return pause(ms, undefined, { signal: gone }).catch(() => undefined);
}
