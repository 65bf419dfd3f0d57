import type { CommandRunner } from "@banger/core";
import { z } from "zod";

/** ms */
const timeoutMs = 30_000;

/** A set of every VM may be full. */
const maxOutputBytes = 16 * 2 ** 20;

const listing = z.object({
  nftables: z.array(z.record(z.string(), z.unknown())),
});

/** nftables' `nft`. */
export class Nft {
  readonly #commands: CommandRunner;
  readonly #signal: AbortSignal;

  constructor(commands: CommandRunner, signal: AbortSignal) {
    this.#commands = commands;
    this.#signal = signal;
  }

  /** Without the program nobody has made a table. */
  async isInstalled(): Promise<boolean> {
    return (await this.#commands.find("nft")) !== undefined;
  }

  /** One transaction: all of it or nothing. */
  async apply(lines: readonly string[]): Promise<void> {
    await this.#run(["-f", "-"], [0], lines);
  }

  /** As {@link Nft.apply}. @returns did it go through? */
  async attempt(lines: readonly string[]): Promise<boolean> {
    const { exitCode } = await this.#run(["-f", "-"], [0, 1], lines);
    return exitCode === 0;
  }

  /** The objects of one kind that `nft -j list` prints; none when what is listed does not exist. */
  async list<T>(
    args: readonly string[],
    kind: string,
    schema: z.ZodType<T>,
  ): Promise<readonly T[]> {
    const { exitCode, stdout } = await this.#run(
      ["-j", "list", ...args],
      [0, 1],
    );
    if (exitCode !== 0) return [];
    return listing.parse(JSON.parse(stdout)).nftables.flatMap((object) => {
      const parsed = schema.safeParse(object[kind]);
      return parsed.success ? [parsed.data] : [];
    });
  }

  #run(
    args: readonly string[],
    okExitCodes: readonly number[],
    lines?: readonly string[],
  ): ReturnType<CommandRunner["run"]> {
    return this.#commands.run({
      file: "nft",
      args,
      timeoutMs,
      maxOutputBytes,
      okExitCodes,
      signal: this.#signal,
      ...(lines === undefined
        ? {}
        : { input: lines.map((line) => `${line}\n`).join("") }),
    });
  }
}
