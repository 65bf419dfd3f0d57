// What the command line costs on top of node.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { cli, root } from "./install.mjs";
import { interleave, table } from "./measure.mjs";

export async function commandLine(install, quick) {
  install.banger("ps");
  const run =
    (...args) =>
    () => {
      execFileSync(process.execPath, args, {
        env: install.env,
        stdio: "ignore",
      });
    };
  const results = await interleave(quick ? 10 : 40, {
    "node -e 0": run("-e", "0"),
    "banger --version": run(cli, "--version"),
    "banger ps": run(cli, "ps"),
    "./banger ps": () => {
      execFileSync(join(root, "banger"), ["ps"], {
        env: install.env,
        stdio: "ignore",
      });
    },
  });
  table(
    "Command line (aim: at most 40 ms on top of node)",
    results,
    "node -e 0",
  );
}
