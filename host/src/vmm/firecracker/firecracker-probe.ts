import { mkdir, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CancelledError,
  describeError,
  isBangerError,
  throwIfCancelled,
  type CommandRunner,
  type Image,
} from "@banger/core";
import { socketPath, vmSocketNames } from "../../paths.js";
import { renderKernelArguments } from "../kernel-arguments.js";
import { probeArgument, probeMark, type ProbeBoot } from "../kvm-probe.js";
import { findByArguments, hasOption } from "../process-identity.js";
import { endVmm } from "../vmm-process.js";
import { FirecrackerApi } from "./api-client.js";
import { FirecrackerUnreachableError } from "./api-errors.js";
import type { FirecrackerKernels } from "./kernels.js";
import { machineArguments } from "./machine-requests.js";
import { firecrackerArguments } from "./process-arguments.js";
import type { FirecrackerProgram } from "./program.js";

/** A guest on working KVM prints its mark within half a second, one on nested KVM within some; one that hangs never does. */
const limitMs = 20_000;

/** The probe's id as Firecracker's argument. */
const probeId = "banger-probe";

/**
 * A probe boot by Firecracker, which writes the guest's console to its own output. Never in a jail, also where VMs are jailed: it runs the
 * image's kernel and our initramfs, which ends before it would mount a disk, and no code of a guest's user. The process dies with this one;
 * what a crash leaves has the same name as that of the next probe, which removes it.
 */
export class FirecrackerProbe implements ProbeBoot {
  readonly #commands: CommandRunner;
  readonly #program: FirecrackerProgram;
  readonly #kernels: FirecrackerKernels;
  readonly #directory: string;

  constructor(options: {
    commands: CommandRunner;
    program: FirecrackerProgram;
    kernels: FirecrackerKernels;
    /** of the probe alone, made for the time of a boot; short enough for a socket */
    directory: string;
  }) {
    this.#commands = options.commands;
    this.#program = options.program;
    this.#kernels = options.kernels;
    this.#directory = options.directory;
  }

  async identity(): Promise<string> {
    const { signal } = new AbortController();
    const { path = "" } = await this.#program.look(signal);
    return `${path} ${(await this.#program.version(signal)) ?? ""}`;
  }

  async boot(image: Image, signal: AbortSignal): Promise<string | undefined> {
    await this.#clear();
    const program = await this.#program.require(signal);
    const kernel = await this.#kernels.ensure(image, program, signal);
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      return await this.#run(program.path, kernel, image.files.initrd, signal);
    } catch (error) {
      throwIfCancelled(signal, "the probe boot");
      if (!isBangerError(error)) throw error;
      if (error.kind === "unavailable") return error.message;
      const [reason = ""] = describeError(error).split("\n");
      return `a probe guest did not boot: ${reason}`;
    } finally {
      await this.#clear();
    }
  }

  async #run(
    file: string,
    kernel: string,
    initrd: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    // Ends both sides: the process when the mark was seen or a request refused, the requests when the process has ended.
    const done = new AbortController();
    const either = AbortSignal.any([signal, done.signal]);
    const console = { seen: false };
    const run = this.#commands.run({
      file,
      args: ["--id", probeId, ...firecrackerArguments(this.#socket())],
      timeoutMs: limitMs,
      signal: either,
      onLine: (line) => {
        if (!line.includes(probeMark)) return;
        console.seen = true;
        done.abort();
      },
    });
    const outcomes = await Promise.allSettled([
      run.finally(() => done.abort()),
      this.#start(kernel, initrd, either).catch((error: unknown) => {
        done.abort();
        throw error;
      }),
    ]);
    throwIfCancelled(signal, "the probe boot");
    if (console.seen) return undefined;
    for (const outcome of outcomes) {
      // What was cancelled was so because of the other one.
      const isCause =
        outcome.status === "rejected" &&
        !(outcome.reason instanceof CancelledError);
      if (isCause) throw outcome.reason as unknown;
    }
    return "the probe guest ended without its mark";
  }

  async #start(
    kernel: string,
    initrd: string,
    signal: AbortSignal,
  ): Promise<void> {
    const api = new FirecrackerApi(this.#socket());
    const machine = { vcpu_count: 1, mem_size_mib: 128, smt: false };
    for (;;) {
      try {
        await api.putMachineConfiguration(machine, signal);
        break;
      } catch (error) {
        if (!(error instanceof FirecrackerUnreachableError)) throw error;
        throwIfCancelled(signal, "the probe boot");
        await sleep(5);
      }
    }
    const own = { console: "ttyS0", quiet: true, panic: "-1" } as const;
    const args = renderKernelArguments({ ...own, ...machineArguments });
    const boot_args = `${args} ${probeArgument}`;
    await api.putBootSource(
      { kernel_image_path: kernel, initrd_path: initrd, boot_args },
      signal,
    );
    await api.start(signal);
  }

  #socket(): string {
    return socketPath(this.#directory, vmSocketNames.api);
  }

  /** What a daemon that died in a probe has left: its process too, where the kernel could not be asked to end it. */
  async #clear(): Promise<void> {
    const strays = await findByArguments(
      (args) =>
        hasOption(args, "--id", probeId) &&
        hasOption(args, "--api-sock", this.#socket()),
    );
    for (const stray of strays) await endVmm(stray);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
