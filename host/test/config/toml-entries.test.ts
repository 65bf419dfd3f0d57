import { expect, it } from "vitest";
import { parse } from "smol-toml";
import { tomlEntries } from "../../src/config/toml-entries.js";

const text = `# [comment]
top = 1 # "not a string
"quoted key".'lit.eral' = 'a "b" ]'
when = 1979-05-27 07:32:00Z
[a . "b.c"]
multi = """
[not.a.header]
x = \\""" y"""""
raw = '''
]''''
list = [ 1, # one ]
  "two,", [3, {k = 4}],
]
inline = { x.y = [5], z = "}" }
[[t.u]]
v = 6
[t.u.w]
v = 7
[[t.u]]
v = 8
[empty]
`;

it("finds what the parser finds, at its place", () => {
  const data = parse(text);
  const lookUp = (path: readonly (string | number)[]): unknown =>
    path.reduce<unknown>(
      (inner, key) => (inner as Record<string | number, unknown>)[key],
      data,
    );
  const entries = tomlEntries(text);
  const slice = (path: readonly (string | number)[]): string => {
    const entry = entries.find(
      (one) => JSON.stringify(one.path) === JSON.stringify(path),
    )!;
    return text.slice(entry.valueStart, entry.end);
  };
  for (const { path } of entries)
    expect(lookUp(path), path.join()).toBeDefined();
  expect(slice(["top"])).toBe("1");
  expect(slice(["quoted key", "lit.eral"])).toBe(`'a "b" ]'`);
  expect(slice(["when"])).toBe("1979-05-27 07:32:00Z");
  expect(slice(["a", "b.c", "raw"])).toBe("'''\n]''''");
  expect(slice(["a", "b.c", "list", 1])).toBe('"two,"');
  expect(slice(["a", "b.c", "list", 2, 1, "k"])).toBe("4");
  expect(slice(["a", "b.c", "inline"])).toBe('{ x.y = [5], z = "}" }');
  expect(slice(["a", "b.c", "inline", "x", "y", 0])).toBe("5");
  expect(slice(["t", "u", 0, "w", "v"])).toBe("7");
  expect(slice(["t", "u", 1, "v"])).toBe("8");
  expect(entries.at(-1)).toMatchObject({ path: ["empty"], kind: "header" });
});

it("ends on any text, also one that no parser accepts", () => {
  const pieces = [
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "=",
    ",",
    ".",
    "#",
    "\n",
    "a",
    "\\",
  ];
  let seed = 1;
  const next = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let n = 0; n < 3000; n++) {
    const odd = Array.from(
      { length: next(24) },
      () => pieces[next(pieces.length)],
    );
    for (const { start, end } of tomlEntries(odd.join("")))
      expect(end).toBeGreaterThanOrEqual(start);
  }
});
