import { join } from "node:path";
import { repository } from "../install.js";
import type { FirecrackerPrograms } from "./firecracker-run.js";

/** Arguments of Node.js: the project `firecracker` of vitest.config.ts, but for the jail's tests where there is no jailer. */
export function e2eArguments(
  { jailer }: FirecrackerPrograms,
  more: readonly string[],
): readonly string[] {
  return [
    join(repository, "node_modules/vitest/vitest.mjs"),
    ...["run", "--root", repository, "--project", "firecracker"],
    ...(jailer === undefined ? ["--exclude", "**/jail.test.ts"] : []),
    ...more,
  ];
}
