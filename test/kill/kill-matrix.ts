import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Install, type SharedImages } from "../install.js";
import { bundleCrashingDaemon } from "./bundle-daemon.js";
import { KillDaemon } from "./kill-daemon.js";
import { KillLane, type PointResult } from "./kill-lane.js";
import type { KillOperation } from "./operations.js";
import { killPoints, type KillPoint } from "./points.js";

/** One operation, wholly gone through. */
export interface OperationResult {
  readonly operation: string;
  /** calls that it makes undisturbed */
  readonly calls: number;
  readonly points: readonly PointResult[];
  /** what was wrong with the VM or image at the end: it did not start, or did not go; a line each */
  readonly problems: readonly string[];
  readonly durationMs: number;
}

export interface MatrixOptions {
  /** all on the same kind of subject */
  readonly operations: readonly KillOperation[];
  /** images that the installs share; without them each makes its own */
  readonly images?: SharedImages | undefined;
  /** which of an operation's points are tried */
  readonly choose: (points: readonly KillPoint[]) => readonly KillPoint[];
  /** installs that work side by side; one for images and on a bridge: a build and the host's network are in every inventory */
  readonly lanes: number;
  /** DNS port of the first lane; the others take the ones behind it */
  readonly dnsPort: number;
  readonly onPoint?: (result: PointResult) => void;
}

/** Goes through operations on one kind of subject, point by point. */
export async function runKillMatrix(
  options: MatrixOptions,
): Promise<readonly OperationResult[]> {
  const scratch = mkdtempSync(join(tmpdir(), "banger-kill-"));
  try {
    const program = await bundleCrashingDaemon(scratch);
    const results: OperationResult[] = [];
    const queue = [...options.operations];
    const lanes = Math.min(options.lanes, queue.length);
    // A lane that fails must not leave the others' installs behind.
    const ended = await Promise.allSettled(
      Array.from({ length: lanes }, (_, index) =>
        withLane(options, program, index, async (lane) => {
          await lane.lookAt(queue[0]?.subject ?? "vm");
          await work(lane, queue, options, results);
        }),
      ),
    );
    for (const lane of ended) if (lane.status === "rejected") throw lane.reason;
    const order = options.operations.map(({ name }) => name);
    return results.sort(
      (a, b) => order.indexOf(a.operation) - order.indexOf(b.operation),
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function withLane(
  { dnsPort, images }: MatrixOptions,
  program: string,
  index: number,
  use: (lane: KillLane) => Promise<void>,
): Promise<void> {
  // Guests are looked at by hand only: what their agents are asked takes time from the operations.
  const config = `stats_poll_interval = "1h"\n${Install.dnsConfig(dnsPort + index)}`;
  const install = new Install(config, images?.directory);
  try {
    await use(new KillLane(install, new KillDaemon(install, program)));
  } finally {
    await install.remove();
  }
}

async function work(
  lane: KillLane,
  queue: KillOperation[],
  options: MatrixOptions,
  results: OperationResult[],
): Promise<void> {
  for (
    let operation = queue.shift();
    operation !== undefined;
    operation = queue.shift()
  ) {
    const started = performance.now();
    const calls = await lane.count(operation);
    const points: PointResult[] = [];
    for (const point of options.choose(killPoints(calls))) {
      const result = await lane.kill(operation, point);
      options.onPoint?.(result);
      points.push(result);
    }
    const problems = await lane.finish(operation);
    results.push({
      operation: operation.name,
      calls: calls.length,
      points,
      problems,
      durationMs: performance.now() - started,
    });
  }
}
