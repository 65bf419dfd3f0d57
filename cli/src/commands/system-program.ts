import { ReportedError } from "@banger/core/client";
import { parseErrorReport } from "../client/error-report.js";
import type { Cli } from "./command.js";

/**
 * Runs the program that works on the system install. Its steps go to stderr unless they are not wanted.
 * @throws ReportedError, what the program says; the interruption's reason
 */
export async function runSystemProgram<T>(
  { io, systemProgram }: Cli,
  request: Readonly<Record<string, unknown>>,
  quiet = false,
): Promise<T> {
  const { spawn } = await import("node:child_process");
  io.interrupted.throwIfAborted();
  const child = spawn(
    process.execPath,
    [systemProgram, JSON.stringify(request)],
    { stdio: ["ignore", "pipe", "pipe"], env: io.env },
  );
  const onAbort = (): void => {
    child.kill("SIGTERM");
  };
  io.interrupted.addEventListener("abort", onAbort);
  const output: Buffer[] = [];
  const faults: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => {
    if (quiet) faults.push(chunk);
    else io.stderr.write(chunk);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", () => {
        resolve();
      });
    });
  } finally {
    io.interrupted.removeEventListener("abort", onAbort);
  }
  io.interrupted.throwIfAborted();
  const text = Buffer.concat(output).toString("utf8");
  const answer = parseAnswer(text);
  const report = parseErrorReport(answer?.error);
  if (report) throw new ReportedError(report);
  if (answer === undefined || !("value" in answer))
    throw new Error(
      `${systemProgram} ended without an answer: ${Buffer.concat(faults).toString("utf8")}`,
    );
  return answer.value as T;
}

function parseAnswer(
  text: string,
): { readonly value?: unknown; readonly error?: unknown } | undefined {
  try {
    return JSON.parse(text) as { value?: unknown; error?: unknown };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
