import { join } from "node:path";
import { build } from "esbuild";
import type { GuestHost } from "./guest-host.js";

/**
 * Puts a program of this folder into the guest, bundled from this tree's sources.
 * @param source such as `disk-program.ts`
 * @returns its path there; `node` runs it
 */
export async function sendProgram(
  guest: GuestHost,
  source: string,
): Promise<string> {
  const {
    outputFiles: [bundled],
  } = await build({
    entryPoints: [join(import.meta.dirname, source)],
    bundle: true,
    write: false,
    platform: "node",
    target: "node20.19",
    format: "cjs",
    // Addons: a program that needs one finds it in the tree that the guest has.
    external: ["better-sqlite3", "koffi"],
    logLevel: "warning",
  });
  if (bundled === undefined) throw new Error(`${source} made no program`);
  const path = `/var/tmp/${source.replace(/\.ts$/, ".cjs")}`;
  await guest.ok(`cat >${path}`, {
    input: Buffer.from(bundled.contents),
  });
  return path;
}
