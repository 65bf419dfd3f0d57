import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { hasErrorCode } from "../files/error-code.js";

/** Where administrators' programs are; a user's PATH often lacks them. */
const systemDirectories = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The directories of a PATH, then those of the system's own programs. Entries that are not absolute are left out. */
export function searchDirectories(path: string | undefined): readonly string[] {
  const given = (path ?? "").split(delimiter).filter(isAbsolute);
  return [...new Set([...given, ...systemDirectories])];
}

/** Absolute path of an executable regular file, looked up by name, or `undefined`. A name with a slash is taken as a path. */
export async function findProgram(
  program: string,
  path: string | undefined,
): Promise<string | undefined> {
  if (program === "" || program.includes("\0")) return undefined;
  const candidates = program.includes("/")
    ? [program]
    : searchDirectories(path).map((directory) => join(directory, program));
  for (const candidate of candidates) {
    if (await isExecutable(candidate)) return candidate;
  }
  return undefined;
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch (error) {
    // Everything that the system says about a path that is not there for us.
    if (
      hasErrorCode(
        error,
        "ENOENT",
        "EACCES",
        "ENOTDIR",
        "ELOOP",
        "ENAMETOOLONG",
      )
    )
      return false;
    throw error;
  }
}
