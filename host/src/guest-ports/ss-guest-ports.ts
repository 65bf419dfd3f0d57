import {
  abortAfter,
  GuestConnectionError,
  throwIfCancelled,
  type GuestPorts,
  type GuestProcess,
  type GuestSsh,
  type ListeningPort,
  type VmRecord,
} from "@banger/core";
import { parseSs } from "./parse-ss.js";
import { probeScheme } from "./probe-scheme.js";

/** Bounds on what a guest may make the host wait for or keep. */
export interface GuestPortLimits {
  /** longest that `ss` may take, ms */
  readonly listTimeoutMs: number;
  /** most that `ss` may say, bytes */
  readonly maxListBytes: number;
  /** longest wait for an answer to each question to a port, ms */
  readonly probeTimeoutMs: number;
  /** longest that all probes together may take, ms */
  readonly probesTimeoutMs: number;
  /** ports that are probed; the others have no scheme */
  readonly maxProbes: number;
  /** probes at a time */
  readonly parallelProbes: number;
}

/** For guests under software emulation on a busy host, where a new process takes seconds. */
const guestPortLimits: GuestPortLimits = {
  listTimeoutMs: 30_000,
  maxListBytes: 256 * 1024,
  probeTimeoutMs: 3_000,
  probesTimeoutMs: 15_000,
  maxProbes: 64,
  parallelProbes: 8,
};

/** Our own way in: asking it for https would only fill the guest's log. */
const sshPort = 22;

/** What `ss` says in the guest, the guest's sshd included: nothing that listens is hidden. */
export class SsGuestPorts implements GuestPorts {
  readonly #guestSsh: Pick<GuestSsh, "exec" | "openPort">;
  readonly #limits: GuestPortLimits;

  constructor(
    { guestSsh }: { readonly guestSsh: Pick<GuestSsh, "exec" | "openPort"> },
    limits: GuestPortLimits = guestPortLimits,
  ) {
    this.#guestSsh = guestSsh;
    this.#limits = limits;
  }

  async list(
    vm: VmRecord,
    signal: AbortSignal,
  ): Promise<readonly ListeningPort[]> {
    const ports = parseSs(await this.#runSs(vm, signal));
    const schemes = await this.#probeAll(vm, ports, signal);
    return ports.map((port) => {
      const scheme = schemes.get(port);
      return scheme === undefined ? port : { ...port, scheme };
    });
  }

  async #runSs(vm: VmRecord, signal: AbortSignal): Promise<string> {
    const { listTimeoutMs, maxListBytes } = this.#limits;
    const limit = abortAfter(listTimeoutMs);
    const either = AbortSignal.any([signal, limit]);
    try {
      const ss = await this.#guestSsh.exec(
        vm,
        { argv: ["ss", "-Hlntup"] },
        either,
      );
      const output = await readBounded(ss, maxListBytes);
      const { exitCode } = await ss.exit;
      if (output === undefined)
        throw new GuestConnectionError(vm.name, "its list of ports has no end");
      if (exitCode === 0) return output;
      if (!either.aborted)
        throw new GuestConnectionError(
          vm.name,
          exitCode === 127
            ? "the guest has no program ss, which lists its ports"
            : "ss failed, which lists the guest's ports",
        );
      throw either.reason;
    } catch (error) {
      throwIfCancelled(signal, "listing the guest's ports");
      if (!limit.aborted) throw error;
      const what = `ss did not list the ports within ${listTimeoutMs / 1000} s`;
      throw new GuestConnectionError(vm.name, what, error);
    }
  }

  async #probeAll(
    vm: VmRecord,
    ports: readonly ListeningPort[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<ListeningPort, "http" | "https">> {
    const { maxProbes, parallelProbes, probeTimeoutMs, probesTimeoutMs } =
      this.#limits;
    const schemes = new Map<ListeningPort, "http" | "https">();
    const limit = AbortSignal.any([signal, abortAfter(probesTimeoutMs)]);
    const waiting = ports
      .filter(({ protocol, port }) => protocol === "tcp" && port !== sshPort)
      .slice(0, maxProbes);
    const work = async (): Promise<void> => {
      for (;;) {
        const port = waiting.shift();
        if (!port || limit.aborted) return;
        const scheme = await probeScheme(
          (end) => this.#guestSsh.openPort(vm, port.port, end),
          probeTimeoutMs,
          limit,
        );
        if (scheme !== undefined) schemes.set(port, scheme);
      }
    };
    await Promise.all(Array.from({ length: parallelProbes }, work));
    throwIfCancelled(signal, "probing the guest's ports");
    return schemes;
  }
}

/** All of stdout; `undefined` when it is more than `maxBytes`, and the process is ended then. */
async function readBounded(
  process: GuestProcess,
  maxBytes: number,
): Promise<string | undefined> {
  process.stdin.end();
  process.stderr.resume();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdout as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      await process.terminate();
      return undefined;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
