import { readFile, rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { hasErrorCode } from "../files/error-code.js";
import { programFiles, systemLayout } from "./layout.js";

/** Longest wait for a helper's end, ms: it gives its requests ten seconds. */
const endLimitMs = 15_000;
const pollMs = 50;

/** Notes which process the helper is, in the directory that only root can write. */
export async function writeHelperPid(): Promise<void> {
  await writeFile(systemLayout.helperPidFile, `${String(process.pid)}\n`, {
    mode: 0o600,
  });
}

/** Idempotent. */
export async function removeHelperPid(): Promise<void> {
  await rm(systemLayout.helperPidFile, { force: true });
}

/**
 * Ends the helper that was started without a service manager, and waits until it has. Idempotent; fine when there is none.
 * @throws Error when it does not end
 */
export async function endHelper(signal: AbortSignal): Promise<void> {
  const pid = await helperPid();
  if (pid === undefined) return;
  const deadline = performance.now() + endLimitMs;
  process.kill(pid, "SIGTERM");
  while ((await helperPid()) === pid && (await isHelper(pid))) {
    signal.throwIfAborted();
    if (performance.now() > deadline)
      throw new Error(`the root helper, process ${String(pid)}, does not end`);
    await sleep(pollMs);
  }
}

/** Of the helper that runs. */
async function helperPid(): Promise<number | undefined> {
  const text = await readFile(systemLayout.helperPidFile, "latin1").catch(
    (error: unknown) => {
      if (hasErrorCode(error, "ENOENT", "ENOTDIR")) return "";
      throw error;
    },
  );
  if (!/^[1-9]\d{0,9}\n$/.test(text)) return undefined;
  const pid = Number(text);
  // Its number may be another process's by now.
  return pid > 1 && (await isHelper(pid)) ? pid : undefined;
}

async function isHelper(pid: number): Promise<boolean> {
  try {
    const args = await readFile(`/proc/${String(pid)}/cmdline`, "latin1");
    return args.split("\0").some((arg) => arg.endsWith(programFiles.helper));
  } catch (error) {
    if (hasErrorCode(error, "ENOENT", "ESRCH")) return false;
    throw error;
  }
}
