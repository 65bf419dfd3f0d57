import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

/** Runs scenarios of an install where nothing of the host changes: in a mount namespace, on private layers. */
export class InstallNamespace {
  readonly #directory = mkdtempSync(join(tmpdir(), "banger-install-"));

  async prepare(): Promise<void> {
    await build({
      entryPoints: [join(import.meta.dirname, "scenarios.ts")],
      outfile: this.#program,
      bundle: true,
      platform: "node",
      target: "node20.19",
      format: "esm",
      external: ["better-sqlite3", "koffi"],
      alias: {
        "@banger/core": join(import.meta.dirname, "../../../core/src/index.ts"),
      },
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
      logLevel: "warning",
    });
  }

  /** What a scenario returns. */
  run(scenario: string): unknown {
    const scratch = mkdtempSync(join(this.#directory, "scratch-"));
    const output = execFileSync(
      "unshare",
      [
        ...["--mount", "--propagation", "private", "--"],
        ...[process.execPath, this.#program, scenario, scratch],
      ],
      { encoding: "utf8", maxBuffer: 2 ** 28 },
    );
    return JSON.parse(output) as unknown;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #program(): string {
    return join(this.#directory, "scenarios.mjs");
  }
}
