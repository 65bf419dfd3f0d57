import { BangerError, type BangerErrorOptions } from "@banger/core";

/** Most characters of Firecracker's own words that a message repeats. */
const longestQuote = 1_000;

/** Words of a Firecracker, which may repeat a guest's or a user's: on one line, bounded, without control characters. Pure. */
export function quoteFirecracker(text: string): string {
  return text
    .slice(0, longestQuote)
    .replaceAll(/[\p{C}\s]+/gu, " ")
    .trim();
}

/** Firecracker answered that it will not or cannot. */
export class FirecrackerApiError extends BangerError {
  override readonly code = "ERR_FIRECRACKER_API";
  /** HTTP status, 400 or more */
  readonly status: number;
  /** method and path: `PUT /drives/root` */
  readonly request: string;
  /** its own words, quoted; empty when it gave none */
  readonly fault: string;

  constructor(request: string, status: number, fault: string) {
    const words = fault === "" ? "" : `: ${fault}`;
    super(`Firecracker refused ${request} (status ${String(status)})${words}`, {
      hint: "Look at the VM's firecracker.log; `banger doctor` checks the host",
    });
    this.status = status;
    this.request = request;
    this.fault = fault;
  }
}

/** Nobody listens on the API's socket: nothing was sent. */
export class FirecrackerUnreachableError extends BangerError {
  override readonly code = "ERR_FIRECRACKER_UNREACHABLE";
  override readonly kind = "unavailable";
  constructor(socketPath: string, cause: unknown) {
    super(`no Firecracker listens on ${socketPath}`, {
      hint: "See whether the VM still runs: banger vm list",
      cause,
    });
  }
}

/** A request was sent, and what came back is no answer of a Firecracker; whether it acted on the request is not known. */
export class FirecrackerProtocolError extends BangerError {
  override readonly code = "ERR_FIRECRACKER_PROTOCOL";
  readonly request: string;
  constructor(request: string, problem: string, options?: BangerErrorOptions) {
    super(`the answer of Firecracker to ${request}: ${problem}`, {
      hint: "Look at the VM's firecracker.log; stop the VM with --force if it hangs",
      ...options,
    });
    this.request = request;
  }
}

/** No complete answer in time; whether Firecracker acted on the request is not known. */
export class FirecrackerTimeoutError extends BangerError {
  override readonly code = "ERR_FIRECRACKER_TIMEOUT";
  constructor(request: string, limitMs: number) {
    super(
      `Firecracker did not answer ${request} within ${String(limitMs / 1000)} s`,
      { hint: "See whether the host is overloaded, then try again" },
    );
  }
}
