import type { CommandRunner } from "@banger/core";
import { IpCommand, type NamedDevice } from "./ip-command.js";
import { isTap } from "./tap-device.js";
import { isPoolDeviceName, poolAlias } from "./tap-names.js";

/** What the host has of a pool; names. */
export interface PoolDevices {
  /** idle ones of this install */
  readonly idle: readonly string[];
  /** those that nobody has marked and that are on no bridge: whoever made them ended meanwhile */
  readonly unmarked: readonly string[];
  /** all, of whatever install, in use or not */
  readonly all: ReadonlySet<string>;
}

/**
 * Looks only.
 * @param tag of the install
 */
export async function findPoolDevices(
  tag: string,
  commands: CommandRunner,
): Promise<PoolDevices> {
  const devices = await new IpCommand(commands).devices();
  const pooled = devices.filter(({ name }) => isPoolDeviceName(name));
  const taps = pooled.filter(isTap);
  return {
    idle: namesOf(taps.filter(({ alias }) => alias === poolAlias(tag))),
    unmarked: namesOf(
      taps.filter(
        ({ alias, master }) => alias === undefined && master === undefined,
      ),
    ),
    all: new Set(namesOf(pooled)),
  };
}

function namesOf(devices: readonly NamedDevice[]): readonly string[] {
  return devices.map(({ name }) => name);
}
