import type {
  BangerError,
  CommandRunner,
  Install,
  Logger,
  Privileged,
  PrivilegedRequest,
} from "@banger/core";
import { runRequest } from "./run-request.js";

/** For a daemon that is root: the same code as in the helper, without a second process. */
export class InProcessPrivileged implements Privileged {
  readonly kind = "in-process";
  readonly #install: Install;
  readonly #commands: CommandRunner;
  readonly #logger: Logger;

  constructor(options: {
    readonly install: Install;
    readonly commands: CommandRunner;
    readonly logger: Logger;
  }) {
    this.#install = options.install;
    this.#commands = options.commands;
    this.#logger = options.logger;
  }

  async problem(): Promise<BangerError | undefined> {
    return Promise.resolve(undefined);
  }

  request<Input, Output>(
    request: PrivilegedRequest<Input, Output>,
    input: Input,
    signal: AbortSignal,
  ): Promise<Output> {
    return runRequest(
      request,
      input,
      {
        install: this.#install,
        commands: this.#commands,
        logger: this.#logger,
      },
      signal,
    );
  }
}
