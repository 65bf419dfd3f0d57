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

  /** Removes a tree whatever the owners in it. Idempotent. */
  removeTree(path: string): Promise<void> {
    return this.run({
      file: "rm",
      args: ["-rf", "--", path],
      timeoutMs: 120_000,
    });
  }
}
