import type { Readable } from "node:stream";
import type { GuestExit, GuestProcess } from "@banger/core";

export async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: GuestExit;
}

/** Reads both outputs to their ends and then the exit. */
export async function finish(process: GuestProcess): Promise<Finished> {
  const [stdout, stderr] = await Promise.all([
    readAll(process.stdout),
    readAll(process.stderr),
  ]);
  return { stdout, stderr, exit: await process.exit };
}
