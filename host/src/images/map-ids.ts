import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { BangerError, definePrivilegedRequest } from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { readIdRange, type IdRange } from "../setup/subordinate-ids.js";

/** The ids of a user namespace cannot be mapped. */
class IdMapError extends BangerError {
  override readonly code = "ERR_ID_MAP";
  override readonly kind = "unavailable";
  constructor(pid: number, problem: string, cause?: unknown) {
    super(
      `the ids of the user namespace of process ${String(pid)} are not mapped: ${problem}`,
      {
        hint: "See whether the owner has subordinate ids: banger doctor",
        cause,
      },
    );
  }
}

/**
 * Gives the ids of the owner to a user namespace that the owner has just made: the owner is its root, the owner's subordinate ids are the
 * others. What newuidmap(1) does, for a daemon whose programs cannot gain rights.
 *
 * The files are opened before they are judged, and what is judged and written is what was opened: the process may be replaced by another
 * one of its number meanwhile. The kernel lets a namespace be mapped once.
 * @see user_namespaces(7), subuid(5)
 */
export const mapIds = definePrivilegedRequest({
  name: "image.map-ids",
  input: z.strictObject({ pid: z.int().min(2).max(4_194_304) }),
  output: z.strictObject({}),
  timeoutMs: 10_000,
  run: async ({ pid }, { install: { owner }, commands, signal }) => {
    const { stdout } = await commands.run({
      file: "getent",
      args: ["passwd", "--", String(owner.uid)],
      timeoutMs: 5_000,
      signal,
    });
    const [name = ""] = stdout.split(":");
    const uids = await readIdRange("/etc/subuid", name, owner.uid);
    const gids = await readIdRange("/etc/subgid", name, owner.uid);
    if (!uids || !gids) throw new IdMapError(pid, "there are none to give");
    await writeMap(pid, "gid_map", owner.uid, mapOf(owner.gid, gids));
    await writeMap(pid, "uid_map", owner.uid, mapOf(owner.uid, uids));
    return {};
  },
});

function mapOf(root: number, { first, count }: IdRange): string {
  return `0 ${String(root)} 1\n1 ${String(first)} ${String(count)}\n`;
}

async function writeMap(
  pid: number,
  name: string,
  uid: number,
  map: string,
): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(`/proc/${String(pid)}/${name}`, constants.O_WRONLY);
    // Of a file in proc(5) the owner is whom the process runs as.
    if ((await file.stat()).uid !== uid)
      throw new IdMapError(pid, "it is not a process of the owner");
    // One write, as the kernel asks.
    await file.write(Buffer.from(map), 0, null, null);
  } catch (error) {
    if (!hasErrorCode(error, "ENOENT", "ESRCH", "EPERM", "EINVAL", "EACCES"))
      throw error;
    throw new IdMapError(pid, `${name} cannot be written`, error);
  } finally {
    await file?.close();
  }
}
