import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { repository } from "../install.js";

/**
 * Compiles the crashing daemon. What it adds is bundled; the daemon itself is the built one in cli/dist, so it has the CLI's build id.
 * @param outDirectory anywhere
 * @returns path of the program
 */
export async function bundleCrashingDaemon(
  outDirectory: string,
): Promise<string> {
  const outfile = join(outDirectory, "crashing-daemon.mjs");
  const built = (
    ...path: readonly string[]
  ): { path: string; external: true } => ({
    path: pathToFileURL(join(repository, ...path)).href,
    external: true,
  });
  await build({
    entryPoints: [join(repository, "test/kill/crashing-daemon.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20.19",
    format: "esm",
    logLevel: "warning",
    plugins: [
      {
        name: "built-daemon",
        setup: ({ onResolve }) => {
          onResolve({ filter: /cli\/src\/daemon\/run-daemon\.js$/ }, () =>
            built("cli/dist/daemon/run-daemon.js"),
          );
          onResolve({ filter: /^@banger\/core\/testing$/ }, () =>
            built("core/dist/testing/index.js"),
          );
        },
      },
    ],
  });
  return outfile;
}
