import { constants } from "node:fs";
import { chmod, chown } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { VmId } from "@banger/core";
import { hasErrorCode } from "../../files/error-code.js";
import {
  descriptorPath,
  openBeneath,
  openPath,
} from "../../files/open-path.js";
import { ForeignFileError } from "../../files/owned-file.js";
import { jailRootOf } from "./jail-directory.js";
import type { JailOwner } from "./jail-owner.js";

/** The API's socket as the process in a jail sees it. Pure. */
export function jailedApiSocket({ id }: { readonly id: VmId }): string {
  return `/run/${id}.api`;
}

/** The socket of the guest's vsock as the process in a jail sees it. Pure. */
export function jailedVsock({ id }: { readonly id: VmId }): string {
  return `/run/${id}.vsock`;
}

/**
 * Gives the sockets of a jail that are there to the install's owner, and to nobody else. Idempotent. Their directory belongs to the process
 * in the jail: each is held open, looked at and changed as what it is, and no link is followed.
 * @throws {@link ForeignFileError} for anything that is no socket of the jail's user
 */
export async function claimSockets(
  jailDirectory: string,
  id: VmId,
  from: JailOwner,
  to: JailOwner,
): Promise<void> {
  const { O_DIRECTORY } = constants;
  const rootPath = jailRootOf(jailDirectory);
  const root = await openPath(rootPath, O_DIRECTORY);
  try {
    for (const socket of [jailedApiSocket({ id }), jailedVsock({ id })]) {
      const run = await openBeneath(
        root,
        basename(dirname(socket)),
        O_DIRECTORY,
      );
      try {
        const handle = await openBeneath(run, basename(socket));
        try {
          const found = await handle.stat();
          const isFromJail = found.uid === from.uid || found.uid === to.uid;
          if (!found.isSocket() || !isFromJail)
            throw new ForeignFileError(
              join(rootPath, socket),
              "is no socket of the process in the jail",
            );
          const path = descriptorPath(handle);
          if (found.uid !== to.uid || found.gid !== to.gid)
            await chown(path, to.uid, to.gid);
          await chmod(path, 0o600);
        } finally {
          await handle.close();
        }
      } catch (error) {
        // A VM without vsock has one of them.
        if (!hasErrorCode(error, "ENOENT")) throw error;
      } finally {
        await run.close();
      }
    }
  } finally {
    await root.close();
  }
}
