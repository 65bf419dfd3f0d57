import { BangerError } from "@banger/core";
import { z } from "zod";

const otherVersions =
  "Restart the daemon when helper and daemon are of different versions: sudo banger system restart";

/** What was asked for does not fit the request: the asking side is wrong, or hostile. */
export class PrivilegedInputError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_INPUT";
  override readonly kind = "usage";
  constructor(request: string, cause: z.ZodError) {
    super(
      `the privileged request ${request} is refused: ${z.prettifyError(cause).split("\n")[0] ?? ""}`,
      { hint: otherVersions, cause },
    );
  }
}

/** What came is no request at all: not one line of JSON of this shape and size in time. */
export class PrivilegedProtocolError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_PROTOCOL";
  override readonly kind = "usage";
  constructor(problem: string) {
    super(`a privileged request is refused: ${problem}`, {
      hint: otherVersions,
    });
  }
}

/** Daemon and helper speak different protocols. */
export class PrivilegedVersionError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_VERSION";
  override readonly kind = "unavailable";
  constructor(theirs: string, ours: number) {
    super(
      `the root helper speaks protocol ${String(ours)}, and was asked in ${theirs}`,
      {
        hint: "Bring daemon and helper to one version: sudo banger system install",
      },
    );
  }
}

/** Nothing that this helper carries out has the name. */
export class PrivilegedUnknownError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_UNKNOWN";
  override readonly kind = "not-found";
  constructor(request: string) {
    super(`the root helper knows no request ${request}`, {
      hint: "A plugin's requests take its package in root's list: sudo banger system install",
    });
  }
}

/** The helper has enough to do. */
export class PrivilegedBusyError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_BUSY";
  override readonly kind = "unavailable";
  constructor() {
    super("the root helper has too many requests at once", {
      hint: "Try again; `journalctl -u banger-root` shows who asks for what",
    });
  }
}

/** Neither the owner of the install nor root asks. */
export class PrivilegedPeerError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_PEER";
  override readonly kind = "unavailable";
  constructor(uid: number) {
    super(`the root helper does nothing for uid ${String(uid)}`, {
      hint: "Only the owner of this install may ask: banger system status says who that is",
    });
  }
}

/** The helper ended, or was ended, while it carried a request out: how far it came is not known. Requests are idempotent. */
export class PrivilegedCutOffError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_CUT_OFF";
  override readonly kind = "unavailable";
  constructor(request: string, cause?: unknown) {
    super(`the root helper went away while it carried out ${request}`, {
      hint: "Try again; `journalctl -u banger-root` shows what became of it",
      cause,
    });
  }
}

/** What a request gave cannot be handed over, or is not what it should be. */
export class PrivilegedAnswerError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_ANSWER";
  constructor(request: string, problem: string, cause?: unknown) {
    super(`the answer to the privileged request ${request} ${problem}`, {
      hint: otherVersions,
      cause,
    });
  }
}

/** What is in the place of the helper's socket, or around it, is not what the install put there. */
export class PrivilegedSocketError extends BangerError {
  override readonly code = "ERR_PRIVILEGED_SOCKET";
  constructor(path: string, problem: string, cause?: unknown) {
    super(`${path} ${problem}, so it is not used as the root helper's`, {
      hint: `Look who made it: ls -ld ${path}; then sudo banger system restart`,
      cause,
    });
  }
}

/** Another root helper of this install runs. */
export class HelperRunningError extends BangerError {
  override readonly code = "ERR_HELPER_RUNNING";
  override readonly kind = "conflict";
  constructor(socketPath: string) {
    super(`another root helper answers on ${socketPath}`, {
      hint: "Nothing needs to be done; or end that one first, with Ctrl-C where it was started, or: sudo systemctl stop banger-root",
    });
  }
}
