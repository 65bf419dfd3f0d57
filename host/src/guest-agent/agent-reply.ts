import { AgentProtocolError, AgentRefusedError } from "./agent-errors.js";

const decoder = new TextDecoder("utf-8", { fatal: true });
/** Most characters of a guest's own words that an error message repeats. */
const maxQuoted = 200;

/**
 * The value that a reply line returns.
 * @param command the request it answers, for messages
 * @throws {@link AgentProtocolError} when the line is no reply, {@link AgentRefusedError} when it is a refusal
 */
export function parseReply(command: string, line: Buffer): unknown {
  const reply = parseObject(command, line);
  if ("return" in reply) return reply["return"];
  const error = reply["error"];
  if (typeof error === "object" && error !== null) {
    const { class: errorClass, desc } = error as Record<string, unknown>;
    if (typeof errorClass === "string" && typeof desc === "string")
      throw new AgentRefusedError(command, quote(errorClass), quote(desc));
  }
  throw new AgentProtocolError(
    `the answer to ${command} is neither a value nor an error`,
  );
}

/** The number in an answer to `guest-sync-delimited`; `undefined` when the line is something else. */
export function parseSyncAnswer(line: Buffer): number | undefined {
  try {
    const value = parseReply("guest-sync-delimited", line);
    return typeof value === "number" ? value : undefined;
  } catch (error) {
    // Before synchronisation anything may come, also a refusal of half a request that an earlier daemon left behind.
    if (
      error instanceof AgentProtocolError ||
      error instanceof AgentRefusedError
    )
      return undefined;
    throw error;
  }
}

function parseObject(command: string, line: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(line));
  } catch (cause) {
    throw new AgentProtocolError(`the answer to ${command} is no JSON`, {
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new AgentProtocolError(`the answer to ${command} is no object`);
  return value as Record<string, unknown>;
}

/** A guest's words end up on a terminal: short, and without control characters. */
function quote(text: string): string {
  return text.slice(0, maxQuoted).replaceAll(/\p{C}+/gu, " ");
}
