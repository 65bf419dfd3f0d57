import { expect, it } from "vitest";
import { LineSplitter } from "../../src/commands/line-splitter.js";

function split(...chunks: readonly (string | Buffer)[]): readonly string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.write(Buffer.from(chunk));
  splitter.end();
  return lines;
}

it("joins chunks and ends lines at newline and carriage return", () => {
  expect(split("a", "b\nc\r", "\nd\r\re\n\n", "f")).toEqual([
    "ab",
    "c",
    "d",
    "e",
    "f",
  ]);
});

it("keeps a character that two chunks share", () => {
  const bytes = Buffer.from("größe\n");
  expect(split(bytes.subarray(0, 3), bytes.subarray(3))).toEqual(["größe"]);
});

it("cuts a line that never ends, and finds the next one", () => {
  const lines = split(...Array<string>(100).fill("x".repeat(1000)), "\nnext\n");
  expect(lines.map((line) => line.length)).toEqual([4096, 4]);
});
