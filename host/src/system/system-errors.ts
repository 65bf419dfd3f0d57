import { BangerError } from "@banger/core";

/** Only root may do it. */
export class NotRootError extends BangerError {
  override readonly code = "ERR_NOT_ROOT";
  constructor(command: string) {
    super(`only root may run ${command}`, {
      hint: `Run it as root: sudo ${command}`,
    });
  }
}

/** Nobody can be the owner of the install who was named, or nobody was. */
export class OwnerInvalidError extends BangerError {
  override readonly code = "ERR_OWNER_INVALID";
  override readonly kind = "usage";
  constructor(problem: string) {
    super(problem, {
      hint: "Name the user whose VMs these will be: sudo banger system install --owner USER",
    });
  }
}

/** What install would make is there, and somebody else made it. */
export class ForeignFileError extends BangerError {
  override readonly code = "ERR_INSTALL_FOREIGN_FILE";
  override readonly kind = "conflict";
  readonly #found: readonly string[];
  constructor(found: readonly string[]) {
    super("files that are not banger's are where it would put its own", {
      hint: "Look at each, and move it away; then install again",
    });
    this.#found = found;
  }
  override get details(): readonly string[] {
    return this.#found;
  }
}

/** The host's system install is, or its data are, somebody else's. */
export class OtherOwnerError extends BangerError {
  override readonly code = "ERR_INSTALL_OTHER_OWNER";
  override readonly kind = "conflict";
  constructor(problem: string) {
    super(problem, {
      hint: "Remove it with its VMs first, if its owner agrees: sudo banger system uninstall --purge",
    });
  }
}

/** There is no system install. */
export class NotInstalledError extends BangerError {
  override readonly code = "ERR_NOT_INSTALLED";
  override readonly kind = "not-found";
  constructor() {
    super("this host has no system install of banger", {
      hint: "Make one: sudo banger system install",
    });
  }
}

/** The program that would be copied is not whole, or a plugin is not there. */
export class ProgramIncompleteError extends BangerError {
  override readonly code = "ERR_PROGRAM_INCOMPLETE";
}

/** Helper or daemon does not answer. */
export class ServiceSilentError extends BangerError {
  override readonly code = "ERR_SERVICE_SILENT";
  override readonly kind = "unavailable";
  constructor(what: string, seconds: number, unit: string) {
    super(`${what} does not answer after ${seconds.toString()} s`, {
      hint: `See why: journalctl -u ${unit} -n 30`,
    });
  }
}
