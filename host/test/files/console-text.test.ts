import { expect, it } from "vitest";
import { consoleLines } from "../../src/files/console-text.js";

it.each([
  [
    "colours and cursor moves",
    "\u001b[1;31mred\u001b[0m\u001b[2J\u001b[H",
    ["red"],
  ],
  ["a window title", "\u001b]0;owned\u0007after", ["after"]],
  ["a string ended by ST", "\u001bP1$r0m\u001b\\after", ["after"]],
  ["an unended control string", "\u001b]52;c;aGk=\nnext", ["next"]],
  ["C1 controls", "\u009b31mred\u009d0;x\u009cok", ["redok"]],
  ["a character set switch", "\u001b(Btext\u001bc", ["text"]],
  ["carriage returns", "10%\r50%\r\n100%", ["10%", "50%", "100%"]],
  ["control characters", "a\u0000\u0008b\u007fc\td", ["abc\td"]],
  ["reversed reading order", "safe\u202egnp.exe\u200b", ["safegnp.exe"]],
  ["a lone escape at the end", "end\u001b", ["end"]],
  ["escapes nested to survive one pass", "\u001b\u001b[31m[31mx", ["31mx"]],
])("takes out %s", (_what, text, lines) => {
  expect(consoleLines(text)).toEqual(lines);
});

it("bounds lines", () => {
  const [line] = consoleLines("x".repeat(10_000));
  expect(line).toHaveLength(500);
  expect(line?.endsWith("…")).toBe(true);
});

it("never lets an escape or control character through", () => {
  const all = Array.from({ length: 0x100 }, (_, code) =>
    String.fromCharCode(code),
  );
  const text = all.flatMap((a) => all.map((b) => `\u001b${a}${b}m`)).join("");
  const printed = consoleLines(text).join("").replaceAll("\t", "");
  expect(printed).not.toMatch(/\p{Cc}/u);
});
