import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { release } from "node:os";
import { dirname } from "node:path";
import {
  CancelledError,
  describeError,
  isBangerError,
  KeyedLock,
  throwIfCancelled,
  type Image,
  type Logger,
} from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { writeAtomically } from "../files/write-atomically.js";
import { kvmObstacle, type KvmObstacle } from "./kvm-device.js";

const verdictSchema = z.object({
  key: z.string(),
  works: z.boolean(),
  reason: z.string(),
  checkedAt: z.string(),
});

/** Whether KVM runs guests on this host, as a probe boot has shown. */
export type KvmVerdict = z.output<typeof verdictSchema>;

/** How one VMM boots a probe guest. */
export interface ProbeBoot {
  /** what of the VMM the answer depends on, such as its path and version */
  identity(): Promise<string>;
  /**
   * Boots the image's kernel with its initramfs under KVM until the first line of our script, within a limit of its own. Nothing is left
   * of it.
   * @returns why it failed, or `undefined`
   * @throws BangerError when it never came to a boot: that says nothing of KVM; CancelledError after `signal`
   */
  boot(image: Image, signal: AbortSignal): Promise<string | undefined>;
}

/** What our initramfs says and then powers off, when it finds {@link probeArgument} among its arguments. */
export const probeMark = "BANGER-PROBE-OK";
export const probeArgument = "banger.probe=1";

/**
 * Whether a VMM runs guests on this host's KVM: an openable /dev/kvm is not enough, as on some nested hosts guests hang. The verdict is
 * remembered for this host kernel, VMM, guest kernel and state of the device.
 */
export class KvmProbe {
  readonly #boot: ProbeBoot;
  readonly #logger: Logger;
  readonly #file: string;
  readonly #device: string;
  readonly #lock = new KeyedLock();

  constructor(options: {
    boot: ProbeBoot;
    logger: Logger;
    verdictFile: string;
    /** default `/dev/kvm` */
    device?: string;
  }) {
    this.#boot = options.boot;
    this.#logger = options.logger;
    this.#file = options.verdictFile;
    this.#device = options.device ?? "/dev/kvm";
  }

  /** The remembered verdict, whatever it was about; for doctor. */
  async last(): Promise<KvmVerdict | undefined> {
    try {
      return verdictSchema.safeParse(
        JSON.parse(await readFile(this.#file, "utf8")),
      ).data;
    } catch (error) {
      if (hasErrorCode(error, "ENOENT") || error instanceof SyntaxError)
        return undefined;
      throw error;
    }
  }

  /**
   * Starts at the same time share one probe boot.
   * @throws CancelledError after `signal`
   */
  async verdict(image: Image, signal: AbortSignal): Promise<KvmVerdict> {
    return this.#lock.run("probe", signal, () =>
      this.#remembered(image, signal),
    );
  }

  async #remembered(image: Image, signal: AbortSignal): Promise<KvmVerdict> {
    const obstacle = await kvmObstacle(this.#device);
    const key = await this.#key(image, obstacle);
    const last = await this.last();
    if (last?.key === key && (last.works || isRecent(last))) return last;
    let failure: string | undefined;
    try {
      failure = await this.#boot.boot(image, signal);
    } catch (error) {
      throwIfCancelled(signal, "the probe boot");
      if (!isBangerError(error) || error instanceof CancelledError) throw error;
      // A missing program or a full disk is not remembered: it may be put right before the next start.
      return this.#make("", false, `no probe boot: ${describeError(error)}`);
    }
    // The device says more than a VMM that could not open it.
    const reason = failure && (obstacle?.reason ?? failure);
    const verdict = this.#make(
      key,
      reason === undefined,
      reason ?? "a probe boot succeeded",
    );
    this.#logger.info("KVM was probed", {
      works: verdict.works,
      reason: verdict.reason,
      failure,
    });
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
    await writeAtomically(this.#file, JSON.stringify(verdict));
    return verdict;
  }

  #make(key: string, works: boolean, reason: string): KvmVerdict {
    return { key, works, reason, checkedAt: new Date().toISOString() };
  }

  async #key(image: Image, obstacle: KvmObstacle | undefined): Promise<string> {
    const text = [
      release(),
      await this.#boot.identity(),
      image.kernelVersion,
      obstacle?.reason ?? "",
    ].join("\n");
    return createHash("sha256").update(text).digest("hex");
  }
}

/** A busy moment may have failed a probe, so a refusal is asked for again after a day. */
function isRecent({ checkedAt }: KvmVerdict): boolean {
  const ageMs = Date.now() - Date.parse(checkedAt);
  // One from the future was made before the clock was set back, nobody knows when.
  return ageMs >= 0 && ageMs < 24 * 60 * 60_000;
}
