import type { CommandRunner } from "@banger/core";
import type { Chain, Rule } from "./iptables-text.js";

/** Waits for another program that changes the rules, seconds. */
const lockSeconds = 5;
/** ms; longer than the wait for the lock */
const timeoutMs = 20_000;

/** iptables, whichever of its two backends the host has. */
export class Iptables {
  readonly #commands: CommandRunner;
  readonly #signal: AbortSignal;

  constructor(commands: CommandRunner, signal: AbortSignal) {
    this.#commands = commands;
    this.#signal = signal;
  }

  /** The rules and the policy of a chain of the kernel's; none when iptables does not work here. */
  async listBuiltIn(
    table: Chain["table"],
    name: string,
  ): Promise<readonly string[] | undefined> {
    // 2, 3 and 4: the program does not fit this kernel.
    const { exitCode, stdout } = await this.#run(
      table,
      ["-S", name],
      [0, 1, 2, 3, 4],
    );
    if (exitCode !== 0) return undefined;
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** The rules of a chain as `-A CHAIN …`, or `undefined` when there is no such chain. */
  async list({ table, name }: Chain): Promise<readonly string[] | undefined> {
    // 1: no such chain; 3: no such table in this kernel. Else it is 2 usage, 4 resources.
    const { exitCode, stdout } = await this.#run(
      table,
      ["-S", name],
      [0, 1, 3],
    );
    if (exitCode !== 0) return undefined;
    return stdout.split("\n").filter((line) => line.startsWith("-A "));
  }

  /** Idempotent. */
  async ensureChain({ table, name }: Chain): Promise<void> {
    // 1: there is one, made by another daemon just now.
    await this.#run(table, ["-N", name], [0, 1]);
  }

  /** Fails when it is not empty or still jumped to. @returns is it gone? */
  async removeChain({ table, name }: Chain): Promise<boolean> {
    const { exitCode } = await this.#run(table, ["-X", name], [0, 1, 4]);
    return exitCode === 0;
  }

  /** Puts the jump to the chain before the host's own rules, which may end in "drop all". Idempotent. */
  async ensureJump(chain: Chain): Promise<void> {
    if (await this.#hasJump(chain)) return;
    const { table, name, from } = chain;
    await this.#run(table, ["-I", from, "1", "-j", name]);
  }

  /** Idempotent. */
  async removeJump(chain: Chain): Promise<void> {
    if (!(await this.#hasJump(chain))) return;
    const { table, name, from } = chain;
    await this.#run(table, ["-D", from, "-j", name]);
  }

  async add({ chain, line }: Rule): Promise<void> {
    await this.#run(chain.table, line.split(" "));
  }

  /** Removes a rule that {@link Iptables.list} gave. */
  async remove({ table, name }: Chain, line: string): Promise<void> {
    const [, , ...spec] = line.split(" ");
    await this.#run(table, ["-D", name, ...spec]);
  }

  async #hasJump({ table, name, from }: Chain): Promise<boolean> {
    const args = ["-C", from, "-j", name];
    // 1: no such rule; 2: no such chain to jump to.
    const { exitCode } = await this.#run(table, args, [0, 1, 2]);
    return exitCode === 0;
  }

  #run(
    table: Chain["table"],
    args: readonly string[],
    okExitCodes: readonly number[] = [0],
  ): ReturnType<CommandRunner["run"]> {
    return this.#commands.run({
      file: "iptables",
      args: ["-w", String(lockSeconds), "-t", table, ...args],
      timeoutMs,
      signal: this.#signal,
      okExitCodes,
    });
  }
}
