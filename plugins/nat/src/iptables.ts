import type { CommandRunner } from "@banger/core";
import type { Chain, Rule } from "./rules.js";

/** Waits for another program that changes the rules, seconds. */
const lockSeconds = 5;
/** ms; longer than the wait for the lock */
const timeoutMs = 20_000;

/** iptables, whichever of its two backends the host has. */
export class Iptables {
  readonly #commands: CommandRunner;

  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }

  /** The rules of a chain as `-A CHAIN …`, or `undefined` when there is no such chain. */
  async list(
    { table, name }: Chain,
    signal: AbortSignal,
  ): Promise<readonly string[] | undefined> {
    const { exitCode, stdout } = await this.#run(
      table,
      ["-S", name],
      signal,
      // 1: no such chain. Everything else that can fail has another status: 2 usage, 3 version or permission, 4 resources.
      [0, 1],
    );
    if (exitCode !== 0) return undefined;
    return stdout.split("\n").filter((line) => line.startsWith("-A "));
  }

  /** Idempotent. */
  async ensureChain(
    { table, name }: Chain,
    signal: AbortSignal,
  ): Promise<void> {
    // 1: there is one, made by another daemon just now.
    await this.#run(table, ["-N", name], signal, [0, 1]);
  }

  /** Fails when it is not empty or still jumped to. @returns is it gone? */
  async removeChain(
    { table, name }: Chain,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { exitCode } = await this.#run(
      table,
      ["-X", name],
      signal,
      [0, 1, 4],
    );
    return exitCode === 0;
  }

  /** Puts the jump to the chain before the host's own rules, which may end in "drop all". Idempotent. */
  async ensureJump(chain: Chain, signal: AbortSignal): Promise<void> {
    if (await this.#hasJump(chain, signal)) return;
    const { table, name, from } = chain;
    await this.#run(table, ["-I", from, "1", "-j", name], signal);
  }

  /** Idempotent. */
  async removeJump(chain: Chain, signal: AbortSignal): Promise<void> {
    if (!(await this.#hasJump(chain, signal))) return;
    const { table, name, from } = chain;
    await this.#run(table, ["-D", from, "-j", name], signal);
  }

  async add({ chain, line }: Rule, signal: AbortSignal): Promise<void> {
    await this.#run(chain.table, line.split(" "), signal);
  }

  /** Removes a rule that {@link Iptables.list} gave. */
  async remove(
    { table, name }: Chain,
    line: string,
    signal: AbortSignal,
  ): Promise<void> {
    const [, , ...spec] = line.split(" ");
    await this.#run(table, ["-D", name, ...spec], signal);
  }

  async #hasJump(
    { table, name, from }: Chain,
    signal: AbortSignal,
  ): Promise<boolean> {
    const args = ["-C", from, "-j", name];
    // 1: no such rule; 2: no such chain to jump to.
    const { exitCode } = await this.#run(table, args, signal, [0, 1, 2]);
    return exitCode === 0;
  }

  #run(
    table: Chain["table"],
    args: readonly string[],
    signal: AbortSignal,
    okExitCodes: readonly number[] = [0],
  ): ReturnType<CommandRunner["run"]> {
    return this.#commands.run({
      file: "iptables",
      args: ["-w", String(lockSeconds), "-t", table, ...args],
      timeoutMs,
      signal,
      okExitCodes,
    });
  }
}
