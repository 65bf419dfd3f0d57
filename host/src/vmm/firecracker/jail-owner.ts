import type { VmId } from "@banger/core";

/** Whom the process in a jail runs as: never root. */
export interface JailOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The first of the uids of jailed VMMs. This one and the 2^24 - 1 after it are given to nobody else: distributions, systemd and container
 * managers stay below 1879048192, and 2^31 and more is no uid to some file systems.
 * @see systemd, docs/UIDS-GIDS.md
 */
const firstUid = 2_000_000_000;

/**
 * The user of a VM's VMM in its jail, and of the files and the TAP device that it uses: who the install belongs to, and where that is root
 * one of the VM's own, so that no VMM can touch the files of another VM. Pure.
 * @param stateOwner of the state directory
 * @returns uid and gid, neither of them 0
 */
export function jailOwner(vmId: VmId, stateOwner: JailOwner): JailOwner {
  const { uid, gid } = stateOwner;
  // The first 24 bits.
  const own = firstUid + parseInt(vmId.slice(0, 6), 16);
  return uid === 0
    ? { uid: own, gid: own }
    : { uid, gid: gid === 0 ? uid : gid };
}
