import { hostile } from "./printable.js";

/** JSON as `JSON.stringify` writes it, with an escape for every character in it that could steer a terminal: it parses to the same. */
export function renderJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(hostile, (found) =>
    // Those beyond 16 bits are written as their two halves.
    found
      .split("")
      .map((unit) => {
        const hex = unit.charCodeAt(0).toString(16);
        return `\\u${hex.padStart(4, "0")}`;
      })
      .join(""),
  );
}
