import { performance } from "node:perf_hooks";
import {
  CancelledError,
  GuestNotReadyError,
  type GuestAgent,
  type GuestFacts,
  type Logger,
  type VmRecord,
} from "@banger/core";
import { socketPath, vmSocketNames } from "../paths.js";
import { AgentClient } from "./agent-client.js";
import { AgentProtocolError, AgentRefusedError } from "./agent-errors.js";
import { agentLimits, type AgentLimits } from "./agent-limits.js";
import { parseGuestFacts } from "./guest-facts.js";
import { readGuestFile } from "./guest-file.js";
import { connectUnixSocket } from "./unix-socket.js";

/** Of `/proc/meminfo` only the first lines are wanted; it has some 1,500 bytes. */
const procFileBytes = 4096;

/**
 * qemu-guest-agent behind a socket in a VM's run directory. The VMM serves one client on it, so each VM has one
 * connection, kept until the VMM ends.
 */
export class QemuGuestAgent implements GuestAgent {
  readonly #logger: Logger;
  readonly #limits: AgentLimits;
  readonly #clients = new Map<string, AgentClient>();
  /** looks at facts that are under way, by the client that asks */
  readonly #looks = new Map<AgentClient, Promise<GuestFacts>>();

  constructor(
    { logger }: { readonly logger: Logger },
    limits: AgentLimits = agentLimits,
  ) {
    this.#logger = logger;
    this.#limits = limits;
  }

  async waitReady(
    vm: VmRecord,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), limitMs);
    const began = performance.now();
    try {
      await this.#client(vm).waitUntilReady(
        AbortSignal.any([signal, limit.signal]),
      );
    } catch (error) {
      if (
        !(error instanceof CancelledError) ||
        signal.aborted ||
        !limit.signal.aborted
      )
        throw error;
      throw new GuestNotReadyError(
        vm.name,
        `did not answer within ${limitMs / 1000} s`,
        [],
        error.cause,
      );
    } finally {
      clearTimeout(timer);
      this.#forgetUnconnected();
    }
    this.#logger.debug("Guest agent answered", {
      vmId: vm.id,
      durationMs: Math.round(performance.now() - began),
    });
  }

  async powerOff(vm: VmRecord, signal: AbortSignal): Promise<void> {
    const client = this.#client(vm);
    try {
      // `--force` leaves out stopping services in order, which takes seconds; processes are still ended, disks still written
      // and unmounted by systemd-shutdown(8).
      await client.request(
        "guest-exec",
        { path: "/usr/bin/systemctl", arg: ["poweroff", "--force"] },
        signal,
      );
    } catch (error) {
      if (!(error instanceof AgentRefusedError)) throw error;
      // A guest without systemd: the agent runs `shutdown -P +0` itself, which here would ask the absent logind.
      await client.send("guest-shutdown", { mode: "powerdown" }, signal);
    } finally {
      this.#forgetUnconnected();
    }
  }

  async ping(vm: VmRecord, signal: AbortSignal): Promise<number> {
    const client = this.#client(vm);
    try {
      const began = performance.now();
      const value = await client.request("guest-ping", {}, signal);
      if (typeof value !== "object" || value === null)
        throw new AgentProtocolError("the answer to guest-ping is odd");
      return performance.now() - began;
    } finally {
      this.#forgetUnconnected();
    }
  }

  /**
   * One look at a time in each VM, shared by those who come meanwhile. A caller that leaves does not end it: the guest would keep a
   * file open for nobody.
   */
  async facts(vm: VmRecord, signal: AbortSignal): Promise<GuestFacts> {
    const client = this.#client(vm);
    let look = this.#looks.get(client);
    if (!look) {
      look = lookAtFacts(client).finally(() => {
        this.#looks.delete(client);
        this.#forgetUnconnected();
      });
      this.#looks.set(client, look);
    }
    return unlessAborted(look, signal);
  }

  /** Closes every connection; for the daemon's end. Idempotent. */
  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #client(vm: VmRecord): AgentClient {
    const path = socketPath(vm.runtime.runDirectory, vmSocketNames.agent);
    let client = this.#clients.get(path);
    if (!client) {
      client = new AgentClient(
        (signal) => connectUnixSocket(path, signal),
        this.#limits,
      );
      this.#clients.set(path, client);
    }
    return client;
  }

  /** A client without a connection holds nothing that matters, and a VM that ended must not stay in the map. */
  #forgetUnconnected(): void {
    for (const [path, client] of this.#clients)
      if (client.idle && !client.connected) this.#clients.delete(path);
  }
}

/** Bounded by the limits of each request. */
async function lookAtFacts(client: AgentClient): Promise<GuestFacts> {
  const { signal } = new AbortController();
  const read = (path: string): Promise<string> =>
    readGuestFile(client, path, procFileBytes, signal);
  return parseGuestFacts(
    await read("/proc/meminfo"),
    await read("/proc/loadavg"),
  );
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void =>
      reject(new CancelledError("asking the guest for facts", signal.reason));
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
    work
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}
