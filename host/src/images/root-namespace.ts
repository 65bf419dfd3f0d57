import { rm } from "node:fs/promises";
import {
  withAnySignal,
  type Command,
  type CommandRunner,
  type HostFacts,
  type Privileged,
} from "@banger/core";
import { mapIds } from "./map-ids.js";

/** Begins the line by which a program that waits for its ids says which process it is. */
const waitingLine = "banger-waits-for-ids ";

/** Says so, waits until both maps are there, and becomes the program. The capabilities of the namespace have to outlive each step of it. */
const waitForIds = [
  `echo "${waitingLine}$$"`,
  "until read -r _ </proc/self/uid_map && read -r _ </proc/self/gid_map; do sleep 0.02; done",
  'exec setpriv --reuid=0 --regid=0 --clear-groups -- "$@"',
].join("; ");

/**
 * Runs programs that set ownership: as they are for root, else in a user namespace in which the caller is root and its subordinate
 * ids are the others. Who maps them is newuidmap(1), or the root helper where there is one: no program of its daemon can gain rights.
 * @see user_namespaces(7), subuid(5)
 */
export class RootNamespace {
  readonly #commands: CommandRunner;
  readonly #isRoot: boolean;
  readonly #privileged: Pick<Privileged, "kind" | "request">;

  constructor(options: {
    commands: CommandRunner;
    hostFacts: Pick<HostFacts, "isRoot">;
    privileged: Pick<Privileged, "kind" | "request">;
  }) {
    this.#commands = options.commands;
    this.#isRoot = options.hostFacts.isRoot;
    this.#privileged = options.privileged;
  }

  async run(command: Command): Promise<void> {
    const { file, args, ...rest } = command;
    if (this.#isRoot) await this.#commands.run(command);
    else if (this.#privileged.kind === "helper")
      await this.#runMappedByHelper(command);
    else
      await this.#commands.run({
        ...rest,
        file: "unshare",
        args: [
          ...["--map-root-user", "--map-auto", "--setuid", "0"],
          ...["--setgid", "0", "--", file, ...args],
        ],
      });
  }

  async #runMappedByHelper(command: Command): Promise<void> {
    const { file, args, onLine, signal, ...rest } = command;
    const refused = new AbortController();
    let mapping: Promise<unknown> | undefined;
    const listen = (line: string): void => {
      if (mapping !== undefined || !line.startsWith(waitingLine)) {
        onLine?.(line);
        return;
      }
      const pid = Number(line.slice(waitingLine.length));
      mapping = this.#privileged
        .request(mapIds, { pid }, refused.signal)
        .catch((error: unknown) => {
          refused.abort(error);
        });
    };
    const signals = signal ? [signal, refused.signal] : [refused.signal];
    await withAnySignal(signals, async (either) => {
      try {
        await this.#commands.run({
          ...rest,
          file: "unshare",
          args: [
            ...["--user", "--keep-caps", "--", "/bin/sh", "-c", waitForIds],
            ...["sh", file, ...args],
          ],
          signal: either,
          onLine: listen,
        });
      } catch (error) {
        // Why it was ended, and not that it was.
        if (refused.signal.aborted) throw refused.signal.reason;
        throw error;
      }
    });
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
