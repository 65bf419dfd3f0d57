import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

/** A setting as the API describes it. */
export interface ConfigEntry {
  /** dotted path in the file */
  readonly key: string;
  /** absent when there is none */
  readonly value?: unknown;
  /** `default`, `derived`, or where in the file */
  readonly source: string;
  readonly unit?: string;
  readonly description?: string;
}

/**
 * A table of the settings. Values that do not fit end with an ellipsis; a column that would be too narrow to read is left out.
 * @param width columns of the terminal
 */
export function renderConfig(
  file: string,
  entries: readonly ConfigEntry[],
  style: Style,
  width = Infinity,
): string {
  const rows = entries.map(
    ({ key, value, source, unit, description = "" }) =>
      [
        key,
        value === undefined ? "-" : printableLine(JSON.stringify(value)),
        printableLine(source),
        printableLine(
          unit === undefined ? description : `${description} (${unit})`,
        ),
      ] as const,
  );
  const titles = ["SETTING", "VALUE", "FROM", "WHAT"] as const;
  const limits = columnLimits([titles, ...rows], width);
  const fit = (row: readonly string[]): readonly string[] =>
    row.flatMap((cell, column) => {
      const limit = limits[column] ?? 0;
      return limit > 0 ? [cut(cell, limit)] : [];
    });
  const table = renderTable([
    fit(titles).map((title) => style.bold(title)),
    ...rows.map((row) =>
      fit(row).map((cell, column) => (column === 2 ? style.dim(cell) : cell)),
    ),
  ]);
  return `${style.dim("file:")} ${file}\n\n${table}`;
}

/** Narrowest description that is worth its place, characters. */
const leastDescription = 12;

/** Most characters of each column; 0 leaves it out. Key and origin come first, then the value, then the description. */
function columnLimits(
  rows: readonly (readonly string[])[],
  width: number,
): readonly number[] {
  const widest = (column: number): number =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const gap = 2;
  const key = Math.min(widest(0), Math.max(1, width - gap));
  const share = Math.max(8, width - key);
  const from = Math.min(widest(2), Math.floor(share / 4));
  const value = Math.min(widest(1), Math.floor(share / 2.5));
  const rest = width - key - value - from - 3 * gap;
  if (rest >= leastDescription) return [key, value, from, rest];
  const room = width - key - from - 2 * gap;
  return room > 0 ? [key, room, from, 0] : [key, 0, 0, 0];
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}
