import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    /** folder with the default image, built once for the whole run */
    imagesDirectory: string;
  }
}

/** Builds the default image as a user would, once; every test's install then shares it. */
export default function setup(project: TestProject): () => void {
  const home = mkdtempSync(join(tmpdir(), "banger-e2e-image-"));
  const banger = (...args: readonly string[]): void => {
    execFileSync(resolve(import.meta.dirname, "../../banger"), args, {
      env: { ...process.env, BANGER_HOME: home },
      stdio: ["ignore", "inherit", "inherit"],
    });
  };
  banger("setup", "--yes");
  banger("image", "build", "debian-bookworm");
  banger("daemon", "stop");
  project.provide("imagesDirectory", join(home, "state/images"));
  return () => {
    rmSync(home, { recursive: true, force: true });
  };
}
