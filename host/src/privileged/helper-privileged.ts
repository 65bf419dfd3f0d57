import {
  currentOperationId,
  isBangerError,
  ReportedError,
  throwIfCancelled,
  type BangerError,
  type Logger,
  type Privileged,
  type PrivilegedRequest,
} from "@banger/core";
import { connectToHelper, exchange } from "./helper-channel.js";
import { pingRequest, type HelperBuild } from "./ping-request.js";
import {
  PrivilegedAnswerError,
  PrivilegedProtocolError,
} from "./privileged-errors.js";
import {
  encodeLine,
  mostRequestBytes,
  mostRequestsAtOnce,
  protocolVersion,
} from "./protocol.js";
import { Turns } from "./turns.js";

/** How long a helper that is being started again is waited for, ms. */
const restartMs = 5_000;

/** How much longer than a request may run its answer is waited for, ms: it may have had to wait for its turn. */
const queueMs = 60_000;

/** What is waited for beyond a request's own time limit, ms. */
interface Patience {
  readonly waitMs: number;
  readonly queueMs: number;
}

const patient: Patience = { waitMs: restartMs, queueMs };
/** For a look: what does not answer now has a problem. */
const impatient: Patience = { waitMs: 0, queueMs: 1_000 };

const byService = "Start it again: sudo banger system restart";
const byHand = "Start it, in another terminal: sudo banger system run-helper";

export interface HelperPrivilegedOptions {
  readonly socketPath: string;
  /** this process's, who owns the install */
  readonly uid: number;
  /** of this daemon; a helper of another build is worth a warning */
  readonly build: HelperBuild;
  /** who starts the helper; `none`: somebody runs it by hand */
  readonly service: "systemd" | "none" | undefined;
  readonly logger: Logger;
}

/** For a daemon of a system install: asks the root helper. */
export class HelperPrivileged implements Privileged {
  readonly kind = "helper";
  readonly #options: HelperPrivilegedOptions;
  /** As many as the helper carries out: the others wait here, where they are the daemon's own, and not there, where it refuses some. */
  readonly #turns = new Turns(mostRequestsAtOnce);
  #warnedOf: string | undefined;

  constructor(options: HelperPrivilegedOptions) {
    this.#options = options;
  }

  async problem(): Promise<BangerError | undefined> {
    const { build } = this.#options;
    try {
      const { signal } = new AbortController();
      const helper = await this.#ask(pingRequest(build), {}, signal, impatient);
      this.#warnOfOther(helper);
      return undefined;
    } catch (error) {
      if (isBangerError(error)) return error;
      throw error;
    }
  }

  request<Input, Output>(
    request: PrivilegedRequest<Input, Output>,
    input: Input,
    signal: AbortSignal,
  ): Promise<Output> {
    return this.#turns.run(request.name, signal, () =>
      this.#ask(request, input, signal, patient),
    );
  }

  async #ask<Input, Output>(
    request: PrivilegedRequest<Input, Output>,
    input: Input,
    signal: AbortSignal,
    patience: Patience,
  ): Promise<Output> {
    const { name, timeoutMs } = request;
    throwIfCancelled(signal, name);
    const line = render(name, input);
    const { socketPath, uid, service } = this.#options;
    const hint = service === "none" ? byHand : byService;
    const socket = await connectToHelper(socketPath, {
      ...{ uid, hint, signal, waitMs: patience.waitMs },
    });
    const limitMs = timeoutMs + patience.queueMs;
    const answer = await exchange(socket, { name, line, limitMs, signal });
    if ("error" in answer) throw new ReportedError(answer.error);
    const output = request.output.safeParse(answer.output);
    if (output.success) return output.data;
    throw new PrivilegedAnswerError(name, "is not of its kind", output.error);
  }

  #warnOfOther(helper: HelperBuild): void {
    const { build, logger } = this.#options;
    if (helper.build === build.build || this.#warnedOf === helper.build) return;
    this.#warnedOf = helper.build;
    logger.warn("The root helper is of another build than this daemon", {
      helper,
      daemon: build,
      fix: "sudo banger system restart",
    });
  }
}

function render(name: string, input: unknown): Buffer {
  const operationId = currentOperationId();
  const line = encodeLine({
    version: protocolVersion,
    ...(operationId === undefined ? {} : { operationId }),
    request: name,
    input,
  });
  if (line.length <= mostRequestBytes) return line;
  throw new PrivilegedProtocolError(
    `${name} is longer than ${String(mostRequestBytes)} bytes`,
  );
}
