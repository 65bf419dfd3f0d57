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

export function renderConfig(
  file: string,
  entries: readonly ConfigEntry[],
  style: Style,
): string {
  const table = renderTable([
    ["SETTING", "VALUE", "FROM", "WHAT"].map((title) => style.bold(title)),
    ...entries.map(({ key, value, source, unit, description = "" }) => [
      key,
      value === undefined ? "-" : printableLine(JSON.stringify(value)),
      style.dim(printableLine(source)),
      printableLine(
        unit === undefined ? description : `${description} (${unit})`,
      ),
    ]),
  ]);
  return `${style.dim("file:")} ${file}\n\n${table}`;
}
