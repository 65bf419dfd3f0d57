import { constants } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import {
  abortAfter,
  CancelledError,
  type AgentCommand,
  type AgentOutput,
  type GuestExit,
} from "@banger/core";
import type { AgentClient } from "./agent-client.js";
import { bytesOf, fieldsOf, integerOf, oddAnswer } from "./agent-values.js";

/** Most bytes that are kept of each output: with both as base64, an answer still fits into the limit of a reply. */
const maxOutputBytes = 1 << 20;
/** Largest pid of Linux. @see proc(5), /proc/sys/kernel/pid_max */
const mostPid = 2 ** 22;

/** First and longest pause between two looks at a process, ms. */
const firstPauseMs = 20;
const longestPauseMs = 500;
/** How long the end of a process that nobody waits for may take to be asked for, ms. */
const killLimitMs = 3_000;

/**
 * Runs a process in the guest to its end, in a session of its own. When the caller leaves before, the process and its whole group are
 * killed, as far as the guest can still be asked to: the agent itself cannot end what it began.
 * @returns at most 1 MiB of each output
 * @throws as {@link AgentClient.request}; AgentProtocolError also when the process wrote more
 */
export async function runInGuest(
  client: AgentClient,
  { argv, input }: AgentCommand,
  signal: AbortSignal,
): Promise<AgentOutput> {
  const pid = await startInGuest(
    client,
    { argv: ["setsid", ...argv], ...(input ? { input } : {}) },
    signal,
  );
  try {
    return await waitForGuest(client, pid, signal);
  } catch (error) {
    await killInGuest(client, pid).catch(() => undefined);
    throw error;
  }
}

/** @returns the pid in the guest @throws as {@link AgentClient.request} */
export async function startInGuest(
  client: AgentClient,
  { argv: [path, ...arg], input }: AgentCommand,
  signal: AbortSignal,
): Promise<number> {
  const base64 = input && Buffer.from(input).toString("base64");
  const answer = await client.request(
    "guest-exec",
    {
      ...{ path, arg, "capture-output": true },
      ...(base64 === undefined ? {} : { "input-data": base64 }),
    },
    signal,
  );
  const { pid } = fieldsOf("guest-exec", answer);
  return integerOf("guest-exec", pid, 1, mostPid);
}

/** Asks until the process has ended. @throws as {@link AgentClient.request} */
export async function waitForGuest(
  client: AgentClient,
  pid: number,
  signal: AbortSignal,
): Promise<AgentOutput> {
  for (let pauseMs = firstPauseMs; ; pauseMs *= 1.5) {
    const output = parseExecStatus(
      await client.request("guest-exec-status", { pid }, signal),
    );
    if (output) return output;
    await pause(Math.min(pauseMs, longestPauseMs), undefined, {
      signal,
    }).catch((reason: unknown) => {
      throw new CancelledError("waiting for a process in the guest", reason);
    });
  }
}

/**
 * What `guest-exec-status` says; `undefined` while the process runs. Pure.
 * @throws AgentProtocolError
 * @see QEMU, qga/qapi-schema.json: GuestExecStatus
 */
export function parseExecStatus(value: unknown): AgentOutput | undefined {
  const fields = fieldsOf("guest-exec-status", value);
  const { exited } = fields;
  if (typeof exited !== "boolean") throw oddAnswer("guest-exec-status");
  if (!exited) return undefined;
  const output = (name: string): Buffer =>
    bytesOf("guest-exec-status", fields[name] ?? "", maxOutputBytes);
  return {
    exit: parseExit(fields),
    stdout: output("out-data"),
    stderr: output("err-data"),
  };
}

function parseExit(fields: Readonly<Record<string, unknown>>): GuestExit {
  const { exitcode, signal } = fields;
  if (signal === undefined)
    return { exitCode: integerOf("guest-exec-status", exitcode, 0, 255) };
  const number = integerOf("guest-exec-status", signal, 1, 64);
  const names = Object.entries(constants.signals);
  const name = names.find(([, value]) => value === number)?.[0];
  return { signal: name ?? `SIG${String(number)}` };
}

/** Ends the process group of a process that {@link runInGuest} began. */
async function killInGuest(client: AgentClient, pid: number): Promise<void> {
  await client.request(
    "guest-exec",
    { path: "kill", arg: ["-KILL", "--", `-${String(pid)}`] },
    abortAfter(killLimitMs),
  );
}
