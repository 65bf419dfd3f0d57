// `npm test`: installs what a fresh clone lacks, then runs every check, going on after a failure. The last line is
// `N passed, N failed`. Plain Node, because it runs before anything is installed.
//
//   npm test                     everything
//   npm test -- lint unit        only these steps
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const scratch = mkdtempSync(join(tmpdir(), "banger-test-"));

/** Node programs in node_modules are run by path: no npx, no shell. */
const tool = (path, ...args) => [
  process.execPath,
  join(root, "node_modules", path),
  ...args,
];
const node = (script, ...args) => [
  process.execPath,
  join(root, "scripts", script),
  ...args,
];
/** A step whose tests are counted. `begin` runs vitest, with the arguments behind it. */
const counted = (id, begin) => {
  const report = join(scratch, `${id}.json`);
  const reporters = [
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ];
  return { id, commands: [[...begin, ...reporters]], report };
};
const vitest = (project) =>
  counted(project, tool("vitest/vitest.mjs", "run", "--project", project));

// The steps with guests share one image, built by the first.
process.env.BANGER_E2E_IMAGE_HOME = join(scratch, "image-home");

const STEPS = [
  // Every later step needs the node modules; ./banger would make them too.
  {
    id: "install",
    title: "Install",
    commands: [node("prepare.mjs", "--install", "--yes")],
    required: true,
  },
  {
    id: "format",
    title: "Format",
    commands: [
      tool("prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."),
    ],
  },
  { id: "lint", title: "Lint", commands: [tool("eslint/bin/eslint.js", ".")] },
  {
    id: "build",
    title: "Types and build",
    commands: [tool("typescript/bin/tsc", "-b"), node("prepare.mjs", "--yes")],
  },
  {
    id: "host",
    title: "Programs of the host",
    commands: [node("setup-host.mjs")],
  },
  {
    id: "architecture",
    title: "Architecture",
    commands: [
      tool(
        "dependency-cruiser/bin/dependency-cruise.mjs",
        "--config",
        ".dependency-cruiser.cjs",
        "core",
        "host",
        "cli",
        "plugins",
        "test",
      ),
    ],
  },
  {
    id: "knip",
    title: "Unused code and dependencies",
    commands: [tool("knip/bin/knip.js", "--no-config-hints")],
  },
  {
    id: "publint",
    title: "Package manifests",
    commands: [node("publint.mjs")],
  },
  { title: "Unit and contract tests", ...vitest("unit") },
  { title: "End-to-end tests", ...vitest("e2e") },
  {
    title: "End-to-end tests on Firecracker's API (contract server)",
    ...counted("fc-contract", node("test-fc-contract.mjs")),
    // It needs root, and says so.
    mayNotRun: true,
  },
  {
    title: "End-to-end tests of the guests' network",
    ...counted("network", node("test-network.mjs")),
    mayNotRun: true,
  },
];

let passed = 0;
let failed = 0;
const failures = [];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((id) => !STEPS.some((step) => step.id === id));
if (unknown.length > 0) {
  console.error(
    `no such step: ${unknown.join(", ")}; there are ${STEPS.map(({ id }) => id).join(", ")}`,
  );
  process.exit(2);
}

try {
  for (const step of STEPS) {
    if (wanted.length > 0 && !wanted.includes(step.id) && !step.required)
      continue;
    console.log(`\n== ${step.title} (${step.id})`);
    const started = performance.now();
    const succeeded = step.commands.map(run).every(Boolean);
    if (step.mayNotRun && succeeded && !existsSync(step.report)) {
      console.log(`-- ${step.title}: did not run; nothing is counted`);
      continue;
    }
    const counts =
      step.report === undefined ? undefined : countTests(step.report);
    if (counts === undefined) add(step, succeeded ? 1 : 0, succeeded ? 0 : 1);
    // A run can fail without a failed test: an unhandled rejection, a crash.
    else
      add(
        step,
        counts.passed,
        counts.failed === 0 && !succeeded ? 1 : counts.failed,
      );
    console.log(
      `-- ${step.title}: ${succeeded ? "ok" : "FAILED"} after ${((performance.now() - started) / 1000).toFixed(1)} s`,
    );
    if (!succeeded && step.required) break;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

if (failures.length > 0) console.log(`\nfailed: ${failures.join(", ")}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function add(step, succeeded, unsuccessful) {
  passed += succeeded;
  failed += unsuccessful;
  if (unsuccessful > 0) failures.push(step.id);
}

function run([command, ...args]) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (error !== undefined) console.error(error.message);
  if (signal === "SIGINT" || signal === "SIGTERM") process.exit(130);
  return status === 0;
}

/** Tests by outcome; a file that could not even be loaded counts as one failed test. */
function countTests(report) {
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  const broken = testResults.filter(
    ({ status, assertionResults }) =>
      status === "failed" &&
      !assertionResults.some((test) => test.status === "failed"),
  );
  return { passed: numPassedTests, failed: numFailedTests + broken.length };
}
