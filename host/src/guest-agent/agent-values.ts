import { AgentProtocolError } from "./agent-errors.js";

/** The fields of an answer that is an object. @throws {@link AgentProtocolError} */
export function fieldsOf(
  command: string,
  value: unknown,
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw oddAnswer(command);
  return value as Record<string, unknown>;
}

/** An integer between two bounds, both included. @throws {@link AgentProtocolError} */
export function integerOf(
  command: string,
  value: unknown,
  least: number,
  most: number,
): number {
  if (!Number.isSafeInteger(value)) throw oddAnswer(command);
  const integer = value as number;
  if (integer < least || integer > most) throw oddAnswer(command);
  return integer;
}

/**
 * Bytes that an answer holds as base64.
 * @param maxBytes most that were asked for or are kept
 * @throws {@link AgentProtocolError} when it is no base64 of RFC 4648, or longer
 */
export function bytesOf(
  command: string,
  value: unknown,
  maxBytes: number,
): Buffer {
  if (typeof value !== "string") throw oddAnswer(command);
  if (value.length > 4 * Math.ceil(maxBytes / 3)) throw tooLong(command);
  if (value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    throw oddAnswer(command);
  const bytes = Buffer.from(value, "base64");
  if (bytes.length > maxBytes) throw tooLong(command);
  return bytes;
}

export function oddAnswer(command: string): AgentProtocolError {
  return new AgentProtocolError(`the answer to ${command} is odd`);
}

function tooLong(command: string): AgentProtocolError {
  return new AgentProtocolError(
    `the answer to ${command} is longer than was asked for`,
  );
}
