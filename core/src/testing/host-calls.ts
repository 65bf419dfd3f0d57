import { CommandFailedError, type Command } from "../contracts/commands.js";
import { BangerError, CancelledError } from "../errors.js";
import type { ContractInterceptor } from "./intercept-contracts.js";

/** What goes wrong, and at which host call of a run. */
export interface Fault {
  /** counted from 1 */
  readonly at: number;
  /** counts only the calls that the log names so */
  readonly call?: string;
  /**
   * the call fails before or after it had its effect; the operation is cancelled while it runs; or the daemon is killed before or
   * after the effect, and the call never returns
   */
  readonly moment: "before" | "after" | "abort" | "kill-before" | "kill-after";
}

/** What a call fails with that is told to. Its code is none that a user can meet. */
export class InjectedFailure extends BangerError {
  override readonly code = "INJECTED_FAILURE";
  constructor(name: string) {
    super(`${name} failed, as the test wants`);
  }
}

/** Every call that reaches the contracts of a fake host, in order; makes one of them fail. */
export class HostCalls implements ContractInterceptor {
  /** contract and method, such as `vmStore.update`; of a program its command line too, such as `commands.run nft -f -` */
  readonly log: string[] = [];
  /** what the host does then */
  onKill: () => void = () => undefined;
  #aborts = new AbortController();
  #killed = deferred();
  #fault: Fault | undefined;
  #counted = 0;
  readonly #daemons = new Set<object>();

  /** aborts at a fault of that kind; a new one for every count */
  get signal(): AbortSignal {
    return this.#aborts.signal;
  }

  /** Resolves when the daemons are killed the next time. */
  get killed(): Promise<void> {
    return this.#killed.promise;
  }

  /** Begins a new count with this fault ahead, or with none. */
  expect(fault?: Fault): void {
    this.log.length = 0;
    this.#counted = 0;
    this.#fault = fault;
    this.#aborts = new AbortController();
  }

  /** What a new daemon calls through. Of one that was killed no call begins or returns. */
  ofDaemon(): ContractInterceptor {
    const daemon = {};
    this.#daemons.add(daemon);
    return {
      call: async (name, work, args) => {
        if (!this.#daemons.has(daemon)) return never();
        const value = await settle(() => this.call(name, work, args));
        return this.#daemons.has(daemon) ? value() : never();
      },
    };
  }

  /** Kills every daemon that there is, as SIGKILL does: in the middle of whatever it does. */
  killDaemons(): void {
    this.#daemons.clear();
    this.onKill();
    const { resolve } = this.#killed;
    this.#killed = deferred();
    resolve();
  }

  async call<T>(
    name: string,
    work: () => Promise<T>,
    args: readonly unknown[] = [],
  ): Promise<T> {
    const command = args.find(isCommand);
    const title = command ? `${name} ${render(command)}` : name;
    const moment = this.#count(title);
    const failure = (): Error =>
      command
        ? new CommandFailedError(command, `fails for the test: ${title}`, {
            stderr: "",
          })
        : new InjectedFailure(title);
    if (moment === "before") throw failure();
    if (moment === "kill-before") return this.#kill();
    if (moment === "abort") this.#aborts.abort();
    const signal = args.map(signalOf).find((found) => found !== undefined);
    if (signal?.aborted === true)
      throw new CancelledError(title, signal.reason);
    const value = await work();
    if (moment === "after") throw failure();
    if (moment === "kill-after") return this.#kill();
    return value;
  }

  /** @returns what goes wrong with this call */
  #count(title: string): Fault["moment"] | undefined {
    this.log.push(title);
    const { at, call, moment } = this.#fault ?? {};
    if (call !== undefined && call !== title) return undefined;
    this.#counted += 1;
    return this.#counted === at ? moment : undefined;
  }

  #kill(): Promise<never> {
    this.killDaemons();
    return never();
  }
}

function render({ file, args }: Command): string {
  return [file.split("/").at(-1) ?? file, ...args].join(" ");
}

function isCommand(value: unknown): value is Command {
  return typeof value === "object" && value !== null && "timeoutMs" in value;
}

/** What the caller gave to end the call early: a signal, or something that carries one. */
function signalOf(value: unknown): AbortSignal | undefined {
  if (value instanceof AbortSignal) return value;
  if (typeof value !== "object" || value === null || !("signal" in value))
    return undefined;
  return value.signal instanceof AbortSignal ? value.signal : undefined;
}

/** @returns gives the value or throws what the work threw */
async function settle<T>(work: () => Promise<T>): Promise<() => T> {
  try {
    const value = await work();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
