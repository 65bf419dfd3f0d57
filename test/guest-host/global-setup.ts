import type { TestProject } from "vitest/node";
import { Install, provideImages } from "../install.js";
import { runVariables } from "../run-variables.js";
import { GuestHost } from "./guest-host.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** BANGER_HOME of the install whose guest stands for a host */
    guestHostHome: string;
  }
}

/** One guest for every test of the run. */
export default async function setup(
  project: TestProject,
): Promise<(() => Promise<void>) | undefined> {
  const kept = process.env[runVariables.guestHost];
  if (kept !== undefined) {
    project.provide("guestHostHome", kept);
    return undefined;
  }
  const images = provideImages();
  const install = new Install("", images.directory);
  const remove = async (): Promise<void> => {
    await install.remove();
    images.remove();
  };
  try {
    await GuestHost.start(install);
  } catch (error) {
    await remove();
    throw error;
  }
  project.provide("guestHostHome", install.path);
  return remove;
}
