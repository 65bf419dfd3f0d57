import { ToolMissingError, type CommandRunner } from "@banger/core";
import type { VmmProgram } from "./vmm-drivers.js";

/** QEMU as it is installed on this host. */
export class QemuProgram {
  readonly #commands: CommandRunner;

  constructor({ commands }: { commands: CommandRunner }) {
    this.#commands = commands;
  }

  async look(): Promise<VmmProgram> {
    const path = await this.#commands.find("qemu-system-x86_64");
    return path === undefined
      ? { problem: "it is not installed", fix: "banger setup" }
      : { path };
  }

  /** Such as `7.2.22`; `undefined` when it is not installed or does not say. */
  async version(): Promise<string | undefined> {
    try {
      const { stdout } = await this.#commands.run({
        file: "qemu-system-x86_64",
        args: ["--version"],
        timeoutMs: 10_000,
      });
      return /^QEMU emulator version (\d[\w.-]*)/.exec(stdout)?.[1];
    } catch (error) {
      if (error instanceof ToolMissingError) return undefined;
      throw error;
    }
  }
}
