import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { abortAfter, isBangerError, type VmRecord } from "@banger/core";
import { vmFileNames } from "../../files/vm-files.js";
import { isAlive, type ProcessIdentity } from "../process-identity.js";
import { VmmLaunchError } from "../vmm-errors.js";
import { lastLines, type StartedVmm } from "../vmm-process.js";
import { FirecrackerApi } from "./api-client.js";
import {
  FirecrackerApiError,
  FirecrackerUnreachableError,
} from "./api-errors.js";
import { sendRequest, type MachineRequest } from "./machine-requests.js";
import { apiSocket } from "./vm-process.js";

/** Longest launch, from its process on, ms. */
const launchLimitMs = 30_000;

/**
 * Sends a new process all requests, the last of which starts the guest.
 * @param configured called once the process has done all but the last: its sockets are there, and it has no guest yet
 * @throws what FirecrackerApi throws; Error when the process ends first
 */
export async function startMachine(
  vm: VmRecord,
  { identity, failed }: StartedVmm,
  requests: readonly MachineRequest[],
  owner: AbortSignal,
  configured: () => Promise<void>,
): Promise<void> {
  const signal = AbortSignal.any([owner, abortAfter(launchLimitMs)]);
  const api = new FirecrackerApi(apiSocket(vm));
  const [first, ...rest] = requests;
  const last = rest.pop();
  const send = async (): Promise<void> => {
    if (first) await firstRequest(api, first, identity, signal);
    for (const request of rest) await sendRequest(api, request, signal);
    await configured();
    if (last) await sendRequest(api, last, signal);
  };
  await Promise.race([send(), failed]);
}

/** Asks until somebody listens: the socket appears some milliseconds after the process. */
async function firstRequest(
  api: FirecrackerApi,
  request: MachineRequest,
  identity: ProcessIdentity,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      await sendRequest(api, request, signal);
      return;
    } catch (error) {
      if (!(error instanceof FirecrackerUnreachableError)) throw error;
    }
    if (!(await isAlive(identity))) throw new Error("Firecracker ended");
    await sleep(2, undefined, { signal });
  }
}

/** What a launch fails with: refusals of ours as they are, everything else with what Firecracker and the guest said. */
export async function launchFailure(
  vm: VmRecord,
  error: unknown,
): Promise<unknown> {
  const isRefusal =
    isBangerError(error) &&
    (error.kind === "unavailable" ||
      error.kind === "usage" ||
      error.kind === "conflict") &&
    !(error instanceof FirecrackerUnreachableError);
  if (isRefusal) return error;
  const lines: string[] = [];
  for (const [name, count] of [
    [vmFileNames.firecrackerLog, 5],
    [vmFileNames.vmmLog, 5],
    [vmFileNames.consoleLog, 3],
  ] as const)
    lines.push(...(await lastLines(join(vm.runtime.directory, name), count)));
  const what =
    error instanceof FirecrackerApiError
      ? `refused ${error.request}: ${error.fault}`
      : "did not start";
  return new VmmLaunchError(vm.name, what, lines, error);
}
