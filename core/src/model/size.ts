import { InvalidValueError } from "../errors.js";

const factors: Readonly<Record<string, number>> = {
  "": 2 ** 20,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/**
 * Parses a size as users write it: a whole or decimal number with `K`, `M`, `G` or `T` and an optional `iB` or `B`; a bare number is MiB.
 * @returns bytes
 * @throws {@link InvalidValueError} when the text is no size, is zero, or exceeds 2^53 bytes
 */
export function parseSize(text: string, what = "size"): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?)?$/i.exec(text.trim());
  const factor = match && factors[(match[2] ?? "").toUpperCase()];
  const bytes = match && factor ? Math.round(Number(match[1]) * factor) : NaN;
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new InvalidValueError(
      `${what} ${JSON.stringify(text)} is not a size`,
      {
        hint: "Write a number with K, M or G, such as 512M or 8G; a bare number is MiB",
      },
    );
  }
  return bytes;
}

/** Renders bytes for people, with binary units and at most one decimal: `1.2 GiB`. */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0)).toString()} ${units[unit] ?? ""}`;
}
