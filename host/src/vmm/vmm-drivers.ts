import {
  BangerError,
  suggestName,
  type Image,
  type OperationContext,
  type VmmChoice,
  type VmmDriver,
  type VmmDrivers,
  type VmmFeatures,
  type VmmRequest,
} from "@banger/core";
import type { KvmProbe, KvmVerdict } from "./kvm-probe.js";
import { KvmUnusableError, VmmUnusableError } from "./vmm-errors.js";

class VmmDriverNotFoundError extends BangerError {
  override readonly code = "ERR_VMM_DRIVER_NOT_FOUND";
  override readonly kind = "not-found";
  constructor(id: string, known: readonly string[]) {
    super(`there is no VMM driver ${JSON.stringify(id)}`, {
      hint: suggestName(id, known),
    });
  }
}

/** The program behind a driver, as it is on this host. */
export interface VmmProgram {
  /** absolute; absent when it is not installed */
  readonly path?: string;
  /** why it cannot be used, one line */
  readonly problem?: string;
  /** what helps against that */
  readonly fix?: string;
}

/** A driver and what is to be known of it before it is chosen. */
export interface InstalledVmm {
  readonly driver: VmmDriver;
  /** on its own terms: a driver may work on a host where another's guests hang */
  readonly kvmProbe: KvmProbe;
  /** can it run guests without KVM? */
  readonly emulates: boolean;
  /** Looks anew each time: programs come and go while a daemon runs. Quick, as every start asks. */
  program(signal: AbortSignal): Promise<VmmProgram>;
  /** such as `7.2.22`; `undefined` when it does not say */
  version(signal: AbortSignal): Promise<string | undefined>;
}

/** How `auto` comes to its answer for one driver; for doctor. */
export interface VmmOutlook {
  readonly id: string;
  readonly program: VmmProgram;
  readonly version: string | undefined;
  /** why it could not run such a VM on any host; `undefined` when it could */
  readonly unfit: string | undefined;
  /** can it run guests without KVM? */
  readonly emulates: boolean;
  /** the last probe's, whatever it was about */
  readonly kvm: KvmVerdict | undefined;
}

type Operation = Pick<OperationContext, "signal" | "progress" | "logger">;

/** The drivers of this install, the preferred one first. Which one runs a guest follows from what the VM needs and a probe boot proved. */
export class InstalledVmmDrivers implements VmmDrivers {
  readonly #installed: readonly InstalledVmm[];

  constructor({ installed }: { installed: readonly InstalledVmm[] }) {
    this.#installed = installed;
  }

  get(id: string): VmmDriver {
    return this.#find(id).driver;
  }

  /** What each driver could do for such a VM, the preferred driver first. Reads only, boots nothing. */
  outlook(
    request: VmmRequest,
    signal: AbortSignal,
  ): Promise<readonly VmmOutlook[]> {
    return Promise.all(
      this.#installed.map(async (vmm) => ({
        id: vmm.driver.id,
        program: await vmm.program(signal),
        version: await vmm.version(signal),
        unfit: unfitness(vmm, request),
        emulates: vmm.emulates,
        kvm: await vmm.kvmProbe.last(),
      })),
    );
  }

  async choose(
    request: VmmRequest,
    image: Image,
    operation: Operation,
  ): Promise<VmmChoice> {
    const asked = this.#asked(request);
    const fit: InstalledVmm[] = [];
    const refusals: string[] = [];
    for (const vmm of asked) {
      const { id } = vmm.driver;
      const { problem } = await vmm.program(operation.signal);
      const refusal =
        problem ?? unfitness(vmm, request) ?? imageUnfitness(vmm, image);
      if (refusal === undefined) fit.push(vmm);
      else refusals.push(`${id}: ${refusal}`);
    }
    operation.logger.debug("VMMs passed over", { refusals });
    if (fit.length === 0) throw new VmmUnusableError(refusals);
    let why = "it was asked for";
    for (const vmm of request.accel === "emulate" ? [] : fit) {
      const verdict = await vmm.kvmProbe.verdict(image, operation.signal);
      if (verdict.works)
        return { driver: vmm.driver.id, accel: "kvm", reason: "KVM" };
      why = verdict.reason;
    }
    const emulator = fit.find(({ emulates }) => emulates);
    if (request.accel === "kvm" || !emulator) throw new KvmUnusableError(why);
    // Said at every start, in short: emulation is slow and no isolation boundary. Doctor has the whole reason.
    const [short = ""] = why.split(":");
    return {
      driver: emulator.driver.id,
      accel: "emulate",
      reason: `software emulation (no isolation boundary), because ${short}`,
    };
  }

  requireFit(request: VmmRequest): void {
    const refusals = this.#asked(request).map(
      (vmm) => [vmm.driver.id, unfitness(vmm, request)] as const,
    );
    if (refusals.every(([, why]) => why !== undefined))
      throw new VmmUnusableError(
        refusals.map(([id, why]) => `${id}: ${why ?? ""}`),
      );
  }

  #asked({ driver }: VmmRequest): readonly InstalledVmm[] {
    return driver === "auto" ? this.#installed : [this.#find(driver)];
  }

  #find(id: string): InstalledVmm {
    const found = this.#installed.find(({ driver }) => driver.id === id);
    if (found) return found;
    const known = this.#installed.map(({ driver }) => driver.id);
    throw new VmmDriverNotFoundError(id, known);
  }
}

/** Why a driver cannot run such a VM on any host; `undefined` when it can. Pure. */
function unfitness(
  { driver, emulates }: InstalledVmm,
  { accel, nic, diskFormat }: VmmRequest,
): string | undefined {
  const { nics, diskFormats }: VmmFeatures = driver.features;
  if (accel === "emulate" && !emulates) return "it runs guests on KVM only";
  if (!nics.includes(nic))
    return nic === "user"
      ? 'it has no user networking, and the network mode is "user"'
      : "it has no TAP devices";
  if (diskFormat !== undefined && !diskFormats.includes(diskFormat))
    return `the VM's root disk is ${diskFormat}, which it does not read`;
  return undefined;
}

/** Why an image's guests cannot be reached on a driver; `undefined` when they can. Pure. */
function imageUnfitness(
  { driver }: InstalledVmm,
  image: Image,
): string | undefined {
  const { agentTransport } = driver.features;
  if (image.agentTransports.includes(agentTransport)) return undefined;
  return `the image ${image.name} has no guest agent on ${agentTransport}; build it anew: banger image build ${image.name}`;
}
