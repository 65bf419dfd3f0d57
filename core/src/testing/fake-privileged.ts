import type { CommandRunner } from "../contracts/commands.js";
import type {
  Install,
  Privileged,
  PrivilegedRequest,
} from "../contracts/privileged.js";
import type { BangerError } from "../errors.js";
import { throwIfCancelled } from "../lifecycle/operation.js";
import { memoryLogger } from "./memory-logger.js";

/** An install that does not exist, of a user who is not root. */
export function fakeInstall(overrides: Partial<Install> = {}): Install {
  return {
    owner: { uid: 1000, gid: 1000 },
    stateDirectory: "/nonexistent/state",
    runDirectory: "/nonexistent/run",
    tag: "00c0ffee",
    ...overrides,
  };
}

/** Carries requests out in this process, with inputs and outputs as they come out of the helper's JSON. */
export class FakePrivileged implements Privileged {
  kind: Privileged["kind"] = "in-process";
  /** what {@link FakePrivileged.problem} answers and requests fail with */
  missing: BangerError | undefined;
  readonly #commands: CommandRunner;
  readonly #install: Install;

  constructor(commands: CommandRunner, install = fakeInstall()) {
    this.#commands = commands;
    this.#install = install;
  }

  async problem(): Promise<BangerError | undefined> {
    return this.missing;
  }

  async request<Input, Output>(
    request: PrivilegedRequest<Input, Output>,
    input: Input,
    signal: AbortSignal,
  ): Promise<Output> {
    if (this.missing) throw this.missing;
    throwIfCancelled(signal, request.name);
    const output = await request.run(request.input.parse(asJson(input)), {
      install: this.#install,
      commands: this.#commands,
      logger: memoryLogger(),
      signal,
    });
    return request.output.parse(asJson(output));
  }
}

function asJson(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}
