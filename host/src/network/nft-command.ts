import type { CommandRunner } from "@banger/core";
import { parseJson } from "../files/parse-json.js";

/** ms */
const timeoutMs = 60_000;

/** nftables' `nft`. */
export class NftCommand {
  readonly #commands: CommandRunner;

  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }

  /** One transaction: all of it or nothing. @throws ToolMissingError, CommandFailedError, CancelledError */
  async apply(input: string, signal?: AbortSignal): Promise<void> {
    const base = { file: "nft", args: ["-f", "-"], timeoutMs, input };
    await this.#commands.run(signal === undefined ? base : { ...base, signal });
  }

  /**
   * The objects that `nft -json list` prints, such as `{ rule: { table, expr } }`.
   * @throws as {@link NftCommand.apply}; Error when it prints something else
   */
  async list(
    args: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const base = { file: "nft", args: ["-j", "list", ...args], timeoutMs };
    const { stdout } = await this.#commands.run(
      signal === undefined ? base : { ...base, signal },
    );
    const value = parseJson(stdout);
    const objects = isObject(value) ? value["nftables"] : undefined;
    if (!Array.isArray(objects)) throw new Error("nft -j printed no objects");
    return objects.filter(isObject);
  }

  /** Without the program there was never a table. */
  async isInstalled(): Promise<boolean> {
    return (await this.#commands.find("nft")) !== undefined;
  }
}

/** The lines that delete a table, also when there is none. Pure. */
export function renderRemoval(family: "inet" | "netdev", table: string) {
  // Made first, as only what exists can be deleted.
  return `table ${family} ${table}\ndelete table ${family} ${table}\n`;
}

/** Is it an object of JSON, or a list? Pure. */
export function isObject(
  value: unknown,
): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
