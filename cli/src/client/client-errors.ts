import { BangerError } from "@banger/core/client";

/** The daemon runs no more, or never did, and nobody may start it here. */
export class DaemonUnreachableError extends BangerError {
  override readonly code = "ERR_DAEMON_UNREACHABLE";
  override readonly kind = "unavailable";
  constructor(socketPath: string, cause: unknown) {
    super(`no daemon answers at ${socketPath}`, {
      hint: "Any other command starts it, such as: banger vm list",
      cause,
    });
  }
}

/** The connection ended in the middle of an answer. */
export class DaemonGoneError extends BangerError {
  override readonly code = "ERR_DAEMON_GONE";
  override readonly kind = "unavailable";
  constructor(what: string, cause?: unknown) {
    super(`the daemon closed the connection during ${what}`, {
      hint: "See why: banger daemon logs",
      cause,
    });
  }
}

/** The daemon could not be started. */
export class DaemonStartError extends BangerError {
  override readonly code = "ERR_DAEMON_START";
  readonly #lines: readonly string[];
  /** @param details its last lines, and a next step other than to read the file */
  constructor(
    what: string,
    outFile: string,
    details: {
      readonly lines?: readonly string[];
      readonly hint?: string;
    } = {},
  ) {
    const { lines = [], hint = `Read ${outFile}` } = details;
    super(`the daemon did not start: ${what}`, { hint });
    this.#lines = lines;
  }
  override get details(): readonly string[] {
    return this.#lines;
  }
}

/** The daemon was asked to end and has not. */
export class DaemonStopError extends BangerError {
  override readonly code = "ERR_DAEMON_STOP";
  override readonly kind = "unavailable";
  constructor(pid: number, seconds: number) {
    super(`the daemon, process ${pid}, has not ended after ${seconds} s`, {
      hint: `See what it does: banger daemon logs. To end it by force: kill -KILL ${pid}`,
    });
  }
}

/** Something answers that does not speak our API. */
export class UnexpectedAnswerError extends BangerError {
  override readonly code = "ERR_UNEXPECTED_ANSWER";
  constructor(what: string, cause?: unknown) {
    super(`the daemon's answer to ${what} makes no sense`, {
      hint: "Replace the daemon: banger daemon stop",
      cause,
    });
  }
}

/** The daemon of the system install, which systemd keeps, is not there. */
export class DaemonServiceError extends BangerError {
  override readonly code = "ERR_DAEMON_SERVICE";
  override readonly kind = "unavailable";
  constructor(socketPath: string) {
    super(`the daemon of the system install does not answer at ${socketPath}`, {
      hint: "Start it anew, VMs run on: sudo banger system restart. Why it ended: journalctl -u bangerd -n 30",
    });
  }
}

/** This command is of another build than the system install. */
export class InstallOutdatedError extends BangerError {
  override readonly code = "ERR_INSTALL_OUTDATED";
  override readonly kind = "conflict";
  constructor(installed: string, own: string) {
    super(
      `the system install is of build ${installed}, this command of build ${own}`,
      {
        hint: "Bring the install up to date with this command: sudo banger system install; or use the one that is installed",
      },
    );
  }
}
