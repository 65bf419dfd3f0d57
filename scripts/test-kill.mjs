// `npm run test:kill`: compiles test/kill/main.ts and runs it, on a built tree.
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { runTestProgram } from "./run-test-program.mjs";

const root = resolve(import.meta.dirname, "..");
if (process.env.BANGER_E2E_IMAGES === undefined) {
  const prepare = join(root, "scripts/prepare.mjs");
  const { status } = spawnSync(process.execPath, [prepare, "--yes"], {
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
await runTestProgram("kill/main.ts");
