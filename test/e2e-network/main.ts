import { join } from "node:path";
import { repository } from "../install.js";
import { runVariables } from "../run-variables.js";
import { NamespaceRun } from "../second-run/namespace-run.js";
import { findProgram, unmetNeed } from "../second-run/needs.js";

// `npm run test:network`: real guests on a bridge, in network namespaces, with real servers beyond them.
const programs = { dnsmasq: "dnsmasq-base", newuidmap: "uidmap" };
const missing = Object.entries(programs).filter(
  ([program]) => findProgram(program) === undefined,
);
const need =
  unmetNeed() ??
  (missing.length > 0
    ? `missing programs: ${missing.map(([program]) => program).join(", ")} (Debian: apt-get install -y ${missing.map(([, name]) => name).join(" ")})`
    : undefined);
if (need === undefined) {
  process.exitCode = await NamespaceRun.with(async (run) => {
    const vitest = join(repository, "node_modules/vitest/vitest.mjs");
    const project = ["--root", repository, "--project", "network"];
    const argv = [vitest, "run", ...project, ...process.argv.slice(2)];
    return run.node(argv, {
      [runVariables.config]: '[network]\nmode = "bridge"\n',
    });
  });
} else {
  console.log(`test:network did not run: ${need}`);
}
