import {
  CommandFailedError,
  describeError,
  type CommandRunner,
  type Image,
} from "@banger/core";
import { probeArgument, probeMark, type ProbeBoot } from "./kvm-probe.js";
import type { QemuProgram } from "./qemu-program.js";

/** A guest on working KVM prints its mark within half a second; one that hangs never does. */
const limitMs = 8_000;

/** A probe boot by QEMU, which writes the guest's console to its own output. */
export class QemuProbe implements ProbeBoot {
  readonly #commands: CommandRunner;
  readonly #program: QemuProgram;

  constructor(options: { commands: CommandRunner; program: QemuProgram }) {
    this.#commands = options.commands;
    this.#program = options.program;
  }

  async identity(): Promise<string> {
    return (await this.#program.version()) ?? "";
  }

  async boot(image: Image, signal: AbortSignal): Promise<string | undefined> {
    try {
      const { stdout } = await this.#commands.run({
        file: "qemu-system-x86_64",
        args: [
          ...["-nodefaults", "-no-user-config", "-display", "none"],
          ...["-no-reboot", "-machine", "q35"],
          ...["-accel", "kvm", "-cpu", "host", "-m", "128M"],
          ...["-kernel", image.files.kernel, "-initrd", image.files.initrd],
          ...["-append", `console=ttyS0 quiet panic=-1 ${probeArgument}`],
          ...["-serial", "stdio"],
        ],
        timeoutMs: limitMs,
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
