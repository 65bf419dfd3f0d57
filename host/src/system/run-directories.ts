import { ensureOwnedDirectory } from "./owned-directory.js";
import type { InstallRecord } from "./install-record.js";
import { systemLayout } from "./layout.js";

/** Makes the directories of sockets, which a reboot removes; with systemd the units do. Idempotent. @throws ForeignFileError */
export async function ensureRunDirectories({
  owner: { uid, gid },
}: InstallRecord): Promise<void> {
  const { runDirectory, helperDirectory } = systemLayout;
  await ensureOwnedDirectory(runDirectory, { uid, gid, mode: 0o700 });
  await ensureOwnedDirectory(helperDirectory, { uid: 0, gid: 0, mode: 0o711 });
}
