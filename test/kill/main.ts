import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { provideFirecracker } from "../firecracker/provide-firecracker.js";
import { provideImages, repository } from "../install.js";
import { isEgressLive } from "../outside.js";
import { runVariables } from "../run-variables.js";
import { FirecrackerRun } from "../second-run/firecracker-run.js";
import { NamespaceRun } from "../second-run/namespace-run.js";
import { unmetNeed } from "../second-run/needs.js";
import type { PointResult } from "./kill-lane.js";
import { runKillMatrix, type OperationResult } from "./kill-matrix.js";
import {
  insertKillMatrix,
  problemsOf,
  renderKillMatrix,
  renderPoint,
  type Matrix,
} from "./kill-table.js";
import { killOperations, type KillOperation } from "./operations.js";
import { everyNth } from "./points.js";

const document = join(repository, "docs/reliability.md");

const drivers = ["qemu", "firecracker"] as const;

const usage = `npm run test:kill -- [--driver qemu|firecracker] [--bridge] [--only start,stop] [--sample N] [--lanes N] [--write]

Kills the daemon with SIGKILL just before and just after every call of every operation, with real guests, and looks for leaks.
  --driver NAME qemu, the default, or firecracker: over the contract server, with guests on a bridge, in network namespaces; root only.
                Images do not depend on it and are left out
  --bridge      with QEMU, too, guests are on a bridge, in network namespaces; root only. Images are left out
  --only LIST   these operations: ${killOperations.map(({ name }) => name).join(", ")}
  --sample N    every Nth point of each
  --lanes N     installs side by side, default 2; one on a bridge
  --write       put the table into docs/reliability.md`;

process.exitCode = await main();

/** @returns exit status: 0 when nothing was found */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      driver: { type: "string", default: drivers[0] },
      bridge: { type: "boolean", default: false },
      only: { type: "string" },
      sample: { type: "string", default: "1" },
      lanes: { type: "string", default: "2" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const driver = drivers.find((name) => name === values.driver);
  const [sample, lanes] = [Number(values.sample), Number(values.lanes)];
  const isOnBridge = values.bridge || driver === "firecracker";
  // Which operations there are depends on the network mode there.
  if (driver && isOnBridge && !isEgressLive && !values.help)
    return againInNamespace(driver);
  const operations = chosen(values.only, isOnBridge);
  if (
    values.help ||
    !driver ||
    !operations ||
    !(sample >= 1) ||
    !(lanes >= 1)
  ) {
    console.error(usage);
    return values.help ? 0 : 2;
  }
  const problems: string[] = [];
  for (const subject of ["vm", "image"] as const) {
    const mine = operations.filter((one) => one.subject === subject);
    if (mine.length === 0) continue;
    const results = await runAll(
      subject === "image" ? subject : matrixOf(driver, isOnBridge),
      mine,
      { sample, lanes },
      values.write,
    );
    problems.push(...problemsOf(results));
  }
  for (const problem of problems) console.log(problem);
  return problems.length === 0 ? 0 : 1;
}

async function runAll(
  matrix: Matrix,
  operations: readonly KillOperation[],
  { sample, lanes }: { sample: number; lanes: number },
  isWritten: boolean,
): Promise<readonly OperationResult[]> {
  const isImage = matrix === "image";
  const images = isImage ? undefined : provideImages();
  const started = performance.now();
  try {
    const results = await runKillMatrix({
      operations,
      images,
      choose: (points) => everyNth(points, sample),
      lanes: isImage || isEgressLive ? 1 : lanes,
      dnsPort: 15390,
      onPoint: print,
    });
    const rendered = renderKillMatrix(results, {
      date: new Date().toISOString().slice(0, 10),
      durationMs: performance.now() - started,
    });
    console.log(`\n${rendered}`);
    if (isWritten) {
      const text = readFileSync(document, "utf8");
      writeFileSync(document, insertKillMatrix(text, matrix, rendered));
    }
    return results;
  } finally {
    images?.remove();
  }
}

function print(result: PointResult): void {
  const seconds = (result.durationMs / 1000).toFixed(1);
  const outcome =
    result.problems.length === 0
      ? "ok"
      : ["LEAKS", ...result.problems].join("\n    ");
  console.log(
    `${renderPoint(result).padEnd(56)} ${result.end.padEnd(8)} ${seconds.padStart(5)} s  ${outcome}`,
  );
}

function matrixOf(
  driver: (typeof drivers)[number],
  isOnBridge: boolean,
): Matrix {
  if (driver === "firecracker") return "vm on Firecracker's API";
  return isOnBridge ? "vm on a bridge" : "vm";
}

/** This program again, with what it needs to make guests run on a bridge. @returns its exit status */
async function againInNamespace(
  driver: (typeof drivers)[number],
): Promise<number> {
  const need = unmetNeed();
  if (need !== undefined) {
    console.error(`the kills with guests on a bridge cannot run: ${need}`);
    return 1;
  }
  if (driver === "qemu")
    return NamespaceRun.with((run) =>
      run.node(process.argv.slice(1), {
        [runVariables.config]: '[network]\nmode = "bridge"\n',
      }),
    );
  return FirecrackerRun.with(async (run) => {
    const programs = await provideFirecracker(join(run.directory, "contract"));
    return run.node(process.argv.slice(1), programs);
  });
}

/** @param isOnBridge images are built without a network, and without a way to a mirror they are not */
function chosen(
  only: string | undefined,
  isOnBridge: boolean,
): readonly KillOperation[] | undefined {
  if (only === undefined)
    return killOperations.filter(
      ({ subject }) => subject === "vm" || !isOnBridge,
    );
  const names = only.split(",").map((name) => name.trim());
  const found = killOperations.filter(({ name }) => names.includes(name));
  return found.length === names.length ? found : undefined;
}
