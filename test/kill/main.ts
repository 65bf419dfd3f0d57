import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { provideImages, repository } from "../install.js";
import type { PointResult } from "./kill-lane.js";
import { runKillMatrix, type OperationResult } from "./kill-matrix.js";
import {
  insertKillMatrix,
  problemsOf,
  renderKillMatrix,
  renderPoint,
} from "./kill-table.js";
import { killOperations, type KillOperation } from "./operations.js";
import { everyNth } from "./points.js";

const document = join(repository, "docs/reliability.md");

const usage = `npm run test:kill -- [--only start,stop] [--sample N] [--lanes N] [--write]

Kills the daemon with SIGKILL just before and just after every call of every operation, with real guests, and looks for leaks.
  --only LIST   these operations: ${killOperations.map(({ name }) => name).join(", ")}
  --sample N    every Nth point of each
  --lanes N     installs side by side, default 2
  --write       put the table into docs/reliability.md`;

process.exitCode = await main();

/** @returns exit status: 0 when nothing was found */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      sample: { type: "string", default: "1" },
      lanes: { type: "string", default: "2" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const operations = chosen(values.only);
  const [sample, lanes] = [Number(values.sample), Number(values.lanes)];
  if (values.help || !operations || !(sample >= 1) || !(lanes >= 1)) {
    console.error(usage);
    return values.help ? 0 : 2;
  }
  const problems: string[] = [];
  for (const subject of ["vm", "image"] as const) {
    const mine = operations.filter((one) => one.subject === subject);
    if (mine.length === 0) continue;
    const results = await runAll(
      subject,
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
  subject: KillOperation["subject"],
  operations: readonly KillOperation[],
  { sample, lanes }: { sample: number; lanes: number },
  isWritten: boolean,
): Promise<readonly OperationResult[]> {
  const isImage = subject === "image";
  const images = isImage ? undefined : provideImages();
  const started = performance.now();
  try {
    const results = await runKillMatrix({
      operations,
      images,
      choose: (points) => everyNth(points, sample),
      lanes: isImage ? 1 : lanes,
      dnsPort: 15390,
      onPoint: print,
    });
    const matrix = renderKillMatrix(results, {
      date: new Date().toISOString().slice(0, 10),
      durationMs: performance.now() - started,
    });
    console.log(`\n${matrix}`);
    if (isWritten) {
      const text = readFileSync(document, "utf8");
      writeFileSync(document, insertKillMatrix(text, subject, matrix));
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

function chosen(
  only: string | undefined,
): readonly KillOperation[] | undefined {
  if (only === undefined) return killOperations;
  const names = only.split(",").map((name) => name.trim());
  const found = killOperations.filter(({ name }) => names.includes(name));
  return found.length === names.length ? found : undefined;
}
