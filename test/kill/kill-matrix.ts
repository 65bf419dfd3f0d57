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
  readonly operations: readonly KillOperation[];
  readonly images: SharedImages;
  /** which of an operation's points are tried */
  readonly choose: (points: readonly KillPoint[]) => readonly KillPoint[];
  /** installs that work side by side */
  readonly lanes: number;
  /** DNS port of the first lane; the others take the ones behind it */
  readonly dnsPort: number;
  readonly onPoint?: (result: PointResult) => void;
}

/** Goes through operations point by point. VMs first, several installs side by side; images last and alone, because builds are seen by every inventory. */
export async function runKillMatrix(
  options: MatrixOptions,
): Promise<readonly OperationResult[]> {
  const scratch = mkdtempSync(join(tmpdir(), "banger-kill-"));
  try {
    const program = await bundleCrashingDaemon(scratch);
    const results: OperationResult[] = [];
    const queueOf = (subject: KillOperation["subject"]): KillOperation[] =>
      options.operations.filter((one) => one.subject === subject);
    const vmQueue = queueOf("vm");
    const lanes = Math.min(options.lanes, vmQueue.length);
    // A lane that fails must not leave the others' installs behind.
    const ended = await Promise.allSettled(
      Array.from({ length: lanes }, (_, index) =>
        withLane(options, program, index, options.images, async (lane) => {
          await lane.lookAtVm();
          await work(lane, vmQueue, options, results);
        }),
      ),
    );
    for (const lane of ended) if (lane.status === "rejected") throw lane.reason;
    const imageQueue = queueOf("image");
    if (imageQueue.length > 0)
      await withLane(options, program, lanes, undefined, async (lane) => {
        await lane.lookAtImage();
        await work(lane, imageQueue, options, results);
      });
    const order = options.operations.map(({ name }) => name);
    return results.sort(
      (a, b) => order.indexOf(a.operation) - order.indexOf(b.operation),
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function withLane(
  { dnsPort }: MatrixOptions,
  program: string,
  index: number,
  images: SharedImages | undefined,
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
