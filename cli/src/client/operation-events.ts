import type { OperationEvent } from "@banger/host/client";

/** Longest line of an operation's stream, characters. */
const mostLineLength = 64 * 1024 * 1024;

/**
 * The events of an NDJSON stream, whose bytes may come in any pieces.
 * @throws SyntaxError for a line that is no event, RangeError for one without end
 */
export async function* readOperationEvents(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<OperationEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > mostLineLength) throw new RangeError("a line has no end");
    for (const line of lines) yield parseEvent(line);
  }
}

const types = ["begin", "progress", "result", "error"];

function parseEvent(line: string): OperationEvent {
  const event: unknown = JSON.parse(line);
  const type = (event as { type?: unknown } | null)?.type;
  if (typeof type !== "string" || !types.includes(type))
    throw new SyntaxError(`not an event: ${line.slice(0, 200)}`);
  return event as OperationEvent;
}
