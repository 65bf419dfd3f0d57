import { inject } from "vitest";
import type { BangerCli } from "../banger-cli.js";
import { homePlace, type InstallPlace } from "../install-place.js";
import { Install } from "../install.js";
import { SystemInstall } from "./system-install.js";

/** One install under test, whoever its daemon is. */
export interface Subject {
  readonly cli: BangerCli;
  readonly place: InstallPlace;
  /** Deletes every VM, ends the daemon, removes the install. */
  remove(): Promise<void>;
}

/** Who changes the host's network: a daemon that is root, or the root helper for one that is not. */
export interface Lane {
  readonly name: string;
  make(config: string): Promise<Subject>;
}

export const rootLane: Lane = {
  name: "by a daemon that is root",
  make: async (config) => {
    const install = new Install(config, inject("imagesDirectory"));
    return {
      cli: install,
      place: homePlace(install.path),
      remove: () => install.remove(),
    };
  },
};

export const helperLane: Lane = {
  name: "by the root helper of a system install",
  make: async (config) => {
    const install = await SystemInstall.make(config, inject("imagesDirectory"));
    return {
      cli: install,
      place: install.place,
      remove: () => install.remove(),
    };
  },
};
