import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { format } from "prettier";
import { expect, it } from "vitest";
import { configSchema } from "../../src/config/config-schema.js";
import { schemaFields } from "../../src/config/schema-fields.js";

const file = fileURLToPath(new URL("../../../docs/config.md", import.meta.url));
const marks = /(<!-- begin keys -->\n)[^]*(<!-- end keys -->)/;

function renderTable(): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const rows = schemaFields(configSchema).map((field) => {
    const fallback =
      field.derived ??
      (field.defaultValue === undefined
        ? "none"
        : `\`${JSON.stringify(field.defaultValue)}\``);
    return [
      `\`${field.path.join(".")}\``,
      field.description,
      fallback,
      field.unit ?? "",
    ];
  });
  const table = [
    ["key", "meaning", "default", "unit"],
    ["-", "-", "-", "-"],
    ...rows,
  ];
  return table.map((row) => `| ${row.map(cell).join(" | ")} |\n`).join("");
}

// UPDATE=1 writes the table instead.
it("docs/config.md lists every key with its default and unit", async () => {
  const text = await readFile(file, "utf8");
  expect(text).toMatch(marks);
  const expected = await format(
    text.replace(
      marks,
      (_all, begin: string, end: string) =>
        `${begin}\n${renderTable()}\n${end}`,
    ),
    { parser: "markdown" },
  );
  if (process.env["UPDATE"] === "1") await writeFile(file, expected);
  else expect(text).toBe(expected);
});
