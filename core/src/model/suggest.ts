import { nameSome } from "./name-some.js";

/** Edits (insert, delete, replace, swap of neighbours) between two words: the restricted Damerau–Levenshtein distance. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replace = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? at(i - 2, j - 2) + 1 : Infinity;
      row[j] = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replace, swap);
    }
  }
  return at(a.length, b.length);
}

/** Letters that a word needs: one edit makes nearly any name of a shorter one. */
const leastLength = 3;

/**
 * The known name nearest to a mistyped one, or `undefined` when none is near (more than a third of the letters differ) or the word is too
 * short to tell.
 */
export function nearestName(
  word: string,
  known: Iterable<string>,
): string | undefined {
  if (word.length < leastLength) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of known) {
    const edits = distance(word.slice(0, 64), name.slice(0, 64));
    if (edits < bestDistance) [best, bestDistance] = [name, edits];
  }
  return best;
}

/** A hint for an unknown name: the nearest one, else all of them, or the first `most` in order. */
export function suggestName(
  word: string,
  known: readonly string[],
  most = Infinity,
): string {
  const nearest = nearestName(word, known);
  if (nearest !== undefined) return `Did you mean ${nearest}?`;
  return known.length === 0
    ? "There are none yet"
    : `Known: ${nameSome([...known].sort(), most)}`;
}
