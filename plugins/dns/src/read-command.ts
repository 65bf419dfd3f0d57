import { isBangerError, type CommandRunner } from "@banger/core";

/** Each command of a check, ms; together they stay below the limit of the doctor hook. */
const commandTimeoutMs = 2_500;

/** What a command prints; nothing when it is missing, fails or takes too long, which all mean "no such thing". */
export async function read(
  commands: CommandRunner,
  file: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  try {
    const timeoutMs = commandTimeoutMs;
    const result = await commands.run({ file, args, timeoutMs, signal });
    return result.stdout;
  } catch (error) {
    const expected = ["ERR_TOOL_MISSING", "ERR_COMMAND_FAILED"];
    if (isBangerError(error) && expected.includes(error.code)) return "";
    throw error;
  }
}
