import { performance } from "node:perf_hooks";
import {
  CancelledError,
  GuestNotReadyError,
  type AgentCommand,
  type AgentOutput,
  type GuestAgent,
  type GuestFacts,
  type Logger,
  type VmmDrivers,
  type VmmFeatures,
  type VmRecord,
} from "@banger/core";
import { socketPath, vmSocketNames } from "../paths.js";
import { AgentClient } from "./agent-client.js";
import {
  AgentConnectionError,
  AgentRefusedError,
  AgentTimeoutError,
} from "./agent-errors.js";
import { agentLimits, type AgentLimits } from "./agent-limits.js";
import { withLimit } from "./agent-time-limit.js";
import { fieldsOf } from "./agent-values.js";
import { parseGuestFacts } from "./guest-facts.js";
import { readGuestFile } from "./guest-file.js";
import { runInGuest, startInGuest, waitForGuest } from "./guest-process.js";
import { parseGuestTime } from "./guest-time.js";
import { connectUnixSocket } from "./unix-socket.js";
import { connectVsock } from "./vsock-transport.js";

/** Of `/proc/meminfo` only the first lines are wanted; it has some 1,500 bytes. */
const procFileBytes = 4096;

/**
 * qemu-guest-agent behind a socket in a VM's run directory: the host's end of a virtio-serial port, or a VMM's way into vsock. It
 * serves one client, so each VM has one connection, kept until the VMM ends.
 */
export class QemuGuestAgent implements GuestAgent {
  readonly #logger: Logger;
  readonly #vmmDrivers: VmmDrivers;
  readonly #limits: AgentLimits;
  readonly #clients = new Map<string, AgentClient>();
  /** looks at facts that are under way, by the client that asks */
  readonly #looks = new Map<AgentClient, Promise<GuestFacts>>();

  constructor(
    {
      logger,
      vmmDrivers,
    }: { readonly logger: Logger; readonly vmmDrivers: VmmDrivers },
    limits: AgentLimits = agentLimits,
  ) {
    this.#logger = logger;
    this.#vmmDrivers = vmmDrivers;
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
    const reboot = this.#features(vm).endsOn === "reboot";
    await this.#asking(vm, async (client) => {
      // `--force` leaves out stopping services in order, which takes seconds; processes are still ended, disks still written
      // and unmounted by systemd-shutdown(8).
      const verb = reboot ? "reboot" : "poweroff";
      const argv = ["/usr/bin/systemctl", verb, "--force"] as const;
      if (await this.#isAccepted(client, argv, signal)) return;
      // A guest without systemd: the agent runs shutdown(8) itself, which here would ask the absent logind.
      const mode = reboot ? "reboot" : "powerdown";
      await client.send("guest-shutdown", { mode }, signal);
    });
  }

  ping(vm: VmRecord, signal: AbortSignal): Promise<number> {
    return this.#asking(vm, async (client) => {
      const began = performance.now();
      fieldsOf("guest-ping", await client.request("guest-ping", {}, signal));
      return performance.now() - began;
    });
  }

  clockOffset(vm: VmRecord, signal: AbortSignal): Promise<number> {
    return this.#asking(vm, async (client) => {
      // The first request may have to connect; the time is of the second.
      await client.request("guest-ping", {}, signal);
      const before = Date.now();
      const time = await client.request("guest-get-time", {}, signal);
      return parseGuestTime(time) - (before + Date.now()) / 2;
    });
  }

  exec(
    vm: VmRecord,
    command: AgentCommand,
    signal: AbortSignal,
  ): Promise<AgentOutput> {
    return this.#asking(vm, (client) => runInGuest(client, command, signal));
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

  async #asking<T>(
    vm: VmRecord,
    work: (client: AgentClient) => Promise<T>,
  ): Promise<T> {
    try {
      return await work(this.#client(vm));
    } finally {
      this.#forgetUnconnected();
    }
  }

  /** Did the guest take the order to end? One that ends says nothing more. */
  async #isAccepted(
    client: AgentClient,
    argv: AgentCommand["argv"],
    signal: AbortSignal,
  ): Promise<boolean> {
    let pid: number;
    try {
      pid = await startInGuest(client, { argv }, signal);
    } catch (error) {
      if (error instanceof AgentRefusedError) return false;
      throw error;
    }
    try {
      const { exit } = await withLimit(
        signal,
        this.#limits.refusalGraceMs,
        "ending the guest",
        (limited) => waitForGuest(client, pid, limited),
      );
      return exit.exitCode === 0;
    } catch (error) {
      const isEnding =
        error instanceof AgentTimeoutError ||
        error instanceof AgentConnectionError;
      if (!isEnding) throw error;
      return true;
    }
  }

  #features(vm: VmRecord): VmmFeatures {
    const { driver } = vm.runtime;
    if (driver === undefined)
      throw new AgentConnectionError(`${vm.name} has not been started`);
    return this.#vmmDrivers.get(driver).features;
  }

  #client(vm: VmRecord): AgentClient {
    const isVsock = this.#features(vm).agentTransport === "vsock";
    const { agent, vsock } = vmSocketNames;
    const path = socketPath(vm.runtime.runDirectory, isVsock ? vsock : agent);
    let client = this.#clients.get(path);
    if (!client) {
      client = new AgentClient(
        (signal) =>
          isVsock
            ? connectVsock(path, this.#limits, signal)
            : connectUnixSocket(path, signal),
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
  const read = async (path: string): Promise<string> => {
    const bytes = await readGuestFile(client, path, procFileBytes, signal);
    // Whatever the bytes are, each is one character.
    return bytes.toString("latin1");
  };
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
