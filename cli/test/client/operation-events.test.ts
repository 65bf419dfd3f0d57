import { describe, expect, it } from "vitest";
import { readOperationEvents } from "../../src/client/operation-events.js";

const begin = { type: "begin", operationId: "op-1" };
const progress = {
  type: "progress",
  stage: "boot",
  text: "wärmt auf",
  elapsedMs: 5,
};

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size)
    yield bytes.subarray(at, at + size);
}

async function collect(body: AsyncIterable<Buffer>): Promise<unknown[]> {
  const events: unknown[] = [];
  for await (const event of readOperationEvents(body)) events.push(event);
  return events;
}

describe("readOperationEvents", () => {
  it.each([1, 2, 3, 7, 1000])("reads pieces of %i bytes", async (size) => {
    const text = `${JSON.stringify(begin)}\n${JSON.stringify(progress)}\n`;
    const events = await collect(pieces(Buffer.from(text), size));
    expect(events).toEqual([begin, progress]);
  });

  it("gives nothing for a line that was cut off", async () => {
    const text = `${JSON.stringify(begin)}\n{"type":"res`;
    expect(await collect(pieces(Buffer.from(text), 9))).toEqual([begin]);
  });

  it.each(["{nonsense}\n", "null\n", '{"type":"other"}\n', "[]\n"])(
    "refuses %j",
    async (line) => {
      await expect(collect(pieces(Buffer.from(line), 4))).rejects.toThrow(
        SyntaxError,
      );
    },
  );
});
