// `npm run test:kill`: compiles test/kill/main.ts and runs it, on a built tree.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "..");
if (process.env.BANGER_E2E_IMAGES === undefined) {
  const prepare = join(root, "scripts/prepare.mjs");
  const { status } = spawnSync(process.execPath, [prepare, "--yes"], {
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
// In the folder of test/install.ts, which finds the tree from there.
const program = join(root, `test/.test-kill-${process.pid}.mjs`);
process.on("exit", () => rmSync(program, { force: true }));
await build({
  entryPoints: [join(root, "test/kill/main.ts")],
  outfile: program,
  bundle: true,
  packages: "external",
  platform: "node",
  target: "node20.19",
  format: "esm",
  logLevel: "warning",
});
await import(program);
