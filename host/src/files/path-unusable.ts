import { BangerError } from "@banger/core";
import { hasErrorCode } from "./error-code.js";

/** A file or directory of banger is not there, is something else, or may not be used. */
class PathUnusableError extends BangerError {
  override readonly code = "ERR_PATH_UNUSABLE";
  override readonly kind = "unavailable";
  constructor(path: string, cause: Error) {
    super(`${path} cannot be used: ${cause.message}`, {
      hint: `Look what is there and who may use it: ls -ld ${path}`,
      cause,
    });
  }
}

/**
 * Runs what uses a path.
 * @throws {@link PathUnusableError} instead of the system's words for it
 */
export async function orPathUnusable<T>(
  path: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isPath = hasErrorCode(
      error,
      ...["ENOENT", "ENOTDIR", "EEXIST", "EISDIR", "ELOOP"],
      ...["EACCES", "EPERM", "EROFS", "EIO", "ESTALE"],
    );
    throw isPath && error instanceof Error
      ? new PathUnusableError(path, error)
      : error;
  }
}
