import { createHash } from "node:crypto";
import { access, constants, mkdir, readFile } from "node:fs/promises";
import { release } from "node:os";
import { dirname } from "node:path";
import {
  CommandFailedError,
  describeError,
  KeyedLock,
  type CommandRunner,
  type Image,
  type Logger,
} from "@banger/core";
import { z } from "zod";
import { writeAtomically } from "../files/write-atomically.js";

const verdictSchema = z.object({
  key: z.string(),
  works: z.boolean(),
  reason: z.string(),
  checkedAt: z.string(),
});

/** Whether KVM runs guests on this host, as a probe boot has shown. */
export type KvmVerdict = z.output<typeof verdictSchema>;

/** Why KVM cannot even be tried, and what helps. */
export interface KvmObstacle {
  readonly reason: string;
  readonly fix: string;
}

/** A guest on working KVM prints its mark within half a second; one that hangs never does. */
const probeLimitMs = 8_000;
const probeMark = "BANGER-PROBE-OK";

/**
 * Boots the image's kernel with its initramfs under KVM until the first line of our script: an openable /dev/kvm is not enough, as on
 * some nested hosts guests hang. The verdict is remembered for this host kernel, QEMU and guest kernel.
 */
export class KvmProbe {
  readonly #commands: CommandRunner;
  readonly #logger: Logger;
  readonly #file: string;
  readonly #device: string;
  readonly #lock = new KeyedLock();

  constructor(options: {
    commands: CommandRunner;
    logger: Logger;
    verdictFile: string;
    /** default `/dev/kvm` */
    device?: string;
  }) {
    this.#commands = options.commands;
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
      if (
        (error as NodeJS.ErrnoException).code === "ENOENT" ||
        error instanceof SyntaxError
      ) {
        return undefined;
      }
      throw error;
    }
  }

  /** Why KVM cannot even be tried; `undefined` when it can. */
  async obstacle(): Promise<KvmObstacle | undefined> {
    try {
      await access(this.#device, constants.R_OK | constants.W_OK);
      return undefined;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") {
        return {
          reason: `there is no ${this.#device}`,
          fix: "Switch on virtualisation in the firmware, or nested virtualisation in the outer host",
        };
      }
      if (code === "EACCES" || code === "EPERM") {
        return {
          reason: `${this.#device} may not be opened by this user`,
          fix: 'sudo usermod -aG kvm "$USER", then log in again',
        };
      }
      throw error;
    }
  }

  /**
   * Starts at the same time share one probe boot.
   * @throws CancelledError after `signal`
   */
  async verdict(image: Image, signal: AbortSignal): Promise<KvmVerdict> {
    const obstacle = await this.obstacle();
    // Not remembered: a missing device may appear, and looking costs nothing.
    if (obstacle !== undefined) return this.#make("", false, obstacle.reason);
    return this.#lock.run("probe", signal, () =>
      this.#remembered(image, signal),
    );
  }

  async #remembered(image: Image, signal: AbortSignal): Promise<KvmVerdict> {
    const key = await this.#key(image);
    const last = await this.last();
    if (last?.key === key && (last.works || isRecent(last))) return last;
    const reason = await this.#boot(image, signal);
    const verdict = this.#make(
      key,
      reason === undefined,
      reason ?? "a probe boot succeeded",
    );
    this.#logger.info("KVM was probed", {
      works: verdict.works,
      reason: verdict.reason,
    });
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
    await writeAtomically(this.#file, JSON.stringify(verdict));
    return verdict;
  }

  #make(key: string, works: boolean, reason: string): KvmVerdict {
    return { key, works, reason, checkedAt: new Date().toISOString() };
  }

  async #key(image: Image): Promise<string> {
    const version = await this.#commands.run({
      file: "qemu-system-x86_64",
      args: ["--version"],
      timeoutMs: 10_000,
    });
    const text = `${release()}\n${version.stdout}\n${image.kernelVersion}`;
    return createHash("sha256").update(text).digest("hex");
  }

  /** @returns why it failed, or `undefined` */
  async #boot(image: Image, signal: AbortSignal): Promise<string | undefined> {
    try {
      const { stdout } = await this.#commands.run({
        file: "qemu-system-x86_64",
        args: [
          ...[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
          ],
          ...["-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "128M"],
          ...["-kernel", image.files.kernel, "-initrd", image.files.initrd],
          ...[
            "-append",
            "console=ttyS0 quiet panic=-1 banger.probe=1",
            "-serial",
            "stdio",
          ],
        ],
        timeoutMs: probeLimitMs,
        signal,
      });
      return stdout.includes(probeMark)
        ? undefined
        : "the probe guest ended without its mark";
    } catch (error) {
      if (!(error instanceof CommandFailedError)) throw error;
      const [reason = ""] = describeError(error).split("\n");
      return `a probe guest did not boot: ${reason}`;
    }
  }
}

/** A busy moment may have failed a probe, so a refusal is asked for again after a day. */
function isRecent({ checkedAt }: KvmVerdict): boolean {
  const ageMs = Date.now() - Date.parse(checkedAt);
  // One from the future was made before the clock was set back, nobody knows when.
  return ageMs >= 0 && ageMs < 24 * 60 * 60_000;
}
