import { rm } from "node:fs/promises";
import type { Command, CommandRunner, HostFacts } from "@banger/core";

/**
 * Runs programs that set ownership: as they are for root, else in a user namespace in which the caller is root and its subordinate
 * ids are the others.
 * @see user_namespaces(7), subuid(5)
 */
export class RootNamespace {
  readonly #commands: CommandRunner;
  readonly #isRoot: boolean;

  constructor(options: {
    commands: CommandRunner;
    hostFacts: Pick<HostFacts, "isRoot">;
  }) {
    this.#commands = options.commands;
    this.#isRoot = options.hostFacts.isRoot;
  }

  async run(command: Command): Promise<void> {
    const { file, args, ...rest } = command;
    const mapped = [
      "--map-root-user",
      "--map-auto",
      "--setuid",
      "0",
      "--setgid",
      "0",
    ];
    await this.#commands.run(
      this.#isRoot
        ? command
        : { ...rest, file: "unshare", args: [...mapped, "--", file, ...args] },
    );
  }

  /** Removes a tree whatever the owners in it; without user namespaces, one whose owner we are. Idempotent. */
  async removeTree(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch {
      // Files of subordinate ids: what is really in the way, the second attempt says.
      await this.run({
        file: "rm",
        args: ["-rf", "--", path],
        timeoutMs: 120_000,
      });
    }
  }
}
