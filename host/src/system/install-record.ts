import { constants } from "node:fs";
import { lstat, open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { BangerError, type Install } from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { parseJson } from "../files/parse-json.js";
import { installTag } from "../install-tag.js";
import { systemLayout } from "./layout.js";
import { mostRecordBytes } from "./own-install.js";

/** The record of the system install is not what root wrote, or somebody else could have changed it. */
export class InstallRecordError extends BangerError {
  override readonly code = "ERR_INSTALL_RECORD";
  constructor(file: string, problem: string, cause?: unknown) {
    super(`${file} ${problem}, so it is not believed`, {
      hint: `Look who may write it, and restore it: ls -ld ${dirname(file)} ${file}`,
      cause,
    });
  }
}

const absolutePath = z
  .string()
  .max(1_000)
  .regex(/^\/[^\0\n]*$/, "must be an absolute path");

const id = z
  .int()
  .min(1)
  .max(2 ** 32 - 2);

/** The content of {@link systemLayout.recordFile}. */
export const installRecordSchema = z.strictObject({
  format: z.literal(1),
  /** whom the daemon runs as; never root */
  owner: z.strictObject({
    /** as useradd(8) takes them, and longer: directory services have others */
    name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}$/),
    uid: id,
    gid: id,
    home: absolutePath,
  }),
  version: z.string().max(64),
  /** of the code of daemon and helper */
  build: z.string().regex(/^[0-9a-z]{1,32}$/),
  /** name of the program's directory below {@link systemLayout.programsDirectory} */
  program: z.string().regex(/^program-[0-9a-z]{1,32}-[0-9a-f]{8}$/),
  installedAt: z.iso.datetime(),
  service: z.enum(["systemd", "none"]),
  /** packages whose privileged requests the helper carries out */
  plugins: z
    .array(
      z
        .string()
        .max(214)
        .regex(/^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/),
    )
    .max(64),
  /** programs that the helper may launch */
  vmm: z.strictObject({
    firecracker: absolutePath.exactOptional(),
    jailer: absolutePath.exactOptional(),
  }),
  /** directories that were not there before and are no part of the layout, outermost first */
  parents: z.array(absolutePath).max(16),
});

/** What `banger system install` did, as root believes it. */
export type InstallRecord = z.infer<typeof installRecordSchema>;

/**
 * Reads the record of the system install. Takes it only when file and directory are root's and nobody else may write them.
 * @returns `undefined` when there is none
 * @throws {@link InstallRecordError}
 */
export async function readInstallRecord(
  file: string = systemLayout.recordFile,
): Promise<InstallRecord | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return undefined;
    if (!hasErrorCode(error, "ELOOP", "EACCES")) throw error;
    throw new InstallRecordError(file, "cannot be opened", error);
  }
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new InstallRecordError(file, "is no file");
    for (const each of [found, await lstat(dirname(file))]) {
      if (each.uid !== 0)
        throw new InstallRecordError(file, "does not belong to root");
      if ((each.mode & 0o022) !== 0)
        throw new InstallRecordError(file, "can be written by others");
    }
    if (found.size > mostRecordBytes)
      throw new InstallRecordError(file, "is too large");
    const parsed = installRecordSchema.safeParse(
      parseJson(await handle.readFile("utf8")),
    );
    if (parsed.success) return parsed.data;
    throw new InstallRecordError(file, "is malformed", parsed.error);
  } finally {
    await handle.close();
  }
}

/** What privileged requests are carried out for. Pure. */
export function installOf({ owner: { uid, gid } }: InstallRecord): Install {
  const { stateDirectory, runDirectory } = systemLayout;
  const tag = installTag(stateDirectory);
  return { owner: { uid, gid }, stateDirectory, runDirectory, tag };
}
