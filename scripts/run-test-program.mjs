import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "..");

/**
 * Compiles a program of test/ and runs it in this process, with its arguments.
 * @param entry path below test/
 */
export async function runTestProgram(entry) {
  // In the folder of test/install.ts, which finds the tree from there.
  const program = join(root, `test/.program-${process.pid}.mjs`);
  process.on("exit", () => rmSync(program, { force: true }));
  await build({
    entryPoints: [join(root, "test", entry)],
    outfile: program,
    bundle: true,
    packages: "external",
    platform: "node",
    target: "node20.19",
    format: "esm",
    logLevel: "warning",
  });
  await import(program);
}
