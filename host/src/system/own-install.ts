import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
} from "node:fs";
import { systemLayout } from "./layout.js";

// Node's own modules only: the bundled CLI imports this file. Root code reads the same file with readInstallRecord.

/** What a program of the owner has to know of the host's system install. */
export interface OwnInstall {
  /** who starts daemon and helper */
  readonly service: "systemd" | "none";
  /** of the daemon that is installed */
  readonly build: string;
}

/** Largest record, bytes: a few hundred are usual. */
export const mostRecordBytes = 65_536;

/**
 * The host's system install, when it is this user's. Anything that root did not write, or somebody else could have changed, is none:
 * it decides which programs the user runs.
 */
export function readOwnInstall(
  uid: number,
  file: string = systemLayout.recordFile,
): OwnInstall | undefined {
  if (uid === 0) return undefined;
  const { owner, service, build } = (readTrusted(file) ?? {}) as {
    owner?: { uid?: unknown } | null;
    service?: unknown;
    build?: unknown;
  };
  if (owner?.uid !== uid || typeof build !== "string") return undefined;
  return service === "systemd" || service === "none"
    ? { service, build }
    : undefined;
}

function readTrusted(file: string): unknown {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isOneOf(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES"))
      return undefined;
    throw error;
  }
  try {
    const found = fstatSync(descriptor);
    const isTrusted =
      found.isFile() && found.uid === 0 && (found.mode & 0o022) === 0;
    if (!isTrusted || found.size > mostRecordBytes) return undefined;
    return JSON.parse(readFileSync(descriptor, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function isOneOf(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? "");
}
