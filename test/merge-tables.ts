/**
 * A TOML document with further settings in it: at the end of a table that it has go those whose keys it does not set, the other tables
 * come last. Of `settings` only tables of simple keys, a line each, are understood. Pure.
 */
export function mergeTables(document: string, settings: string): string {
  let merged = document;
  for (const { header, lines } of tablesOf(settings)) {
    const own = merged.split("\n");
    const at = own.findIndex((line) => line.trim() === header);
    if (at === -1) {
      merged = [merged.trimEnd(), header, ...lines, ""].join("\n").trimStart();
      continue;
    }
    const table = bodyOf(own, at);
    const missing = lines.filter(
      (line) => !table.some((each) => keyOf(each) === keyOf(line)),
    );
    merged = own.toSpliced(at + 1 + table.length, 0, ...missing).join("\n");
  }
  return merged;
}

interface Table {
  readonly header: string;
  readonly lines: readonly string[];
}

function tablesOf(text: string): readonly Table[] {
  const tables: { header: string; lines: string[] }[] = [];
  for (const line of text.split("\n").map((each) => each.trim())) {
    if (line.startsWith("[")) tables.push({ header: line, lines: [] });
    else if (line !== "") tables.at(-1)?.lines.push(line);
  }
  return tables;
}

/** The lines of the table whose header is at `at`, without the empty ones at its end. */
function bodyOf(lines: readonly string[], at: number): readonly string[] {
  const rest = lines.slice(at + 1);
  const next = rest.findIndex((line) => line.trim().startsWith("["));
  const body = next === -1 ? rest : rest.slice(0, next);
  return body.slice(0, body.findLastIndex((line) => line.trim() !== "") + 1);
}

function keyOf(line: string): string {
  return (line.split("=")[0] ?? "").trim();
}
