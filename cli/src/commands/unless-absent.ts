import { isBangerError } from "@banger/core/client";

/** The daemon's answer; nothing when no daemon runs. */
export async function unlessAbsent<T>(
  answer: Promise<T>,
): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isBangerError(error) && error.code === "ERR_DAEMON_UNREACHABLE")
      return undefined;
    throw error;
  }
}
