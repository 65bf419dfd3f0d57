import type { TomlEntry } from "./toml-entries.js";

/**
 * Adds a string to an array in a TOML text, or takes it out, in the style in which the array is written: on one line, or an element a
 * line. Comments of other elements stay; a line comment beside the removed element goes with it. Pure; the caller checks the result by
 * parsing it.
 * @param list the pair whose value the array is
 * @param elements its elements, in order
 */
export function changeStringArray(
  text: string,
  list: TomlEntry,
  elements: readonly TomlEntry[],
  value: string,
  add: boolean,
): string {
  const literal = JSON.stringify(value);
  if (add) {
    const last = elements.at(-1);
    return last
      ? addAfter(text, last, list.end, literal)
      : insert(text, list.valueStart + 1, literal);
  }
  // From the end, so that the offsets of what is left stay true.
  return elements.reduceRight((rest, element, index) => {
    const written = text.slice(element.start, element.end);
    if (written !== literal && written !== `'${value}'`) return rest;
    return removeElement(rest, elements, index);
  }, text);
}

function addAfter(
  text: string,
  last: TomlEntry,
  arrayEnd: number,
  literal: string,
): string {
  const lineStart = text.lastIndexOf("\n", last.start) + 1;
  const indent = text.slice(lineStart, last.start);
  const rest = text.slice(last.end, arrayEnd);
  const lineEnd = rest.search(/\r?\n/);
  const isOwnLine = /^[ \t]*$/.test(indent) && lineEnd >= 0;
  if (!isOwnLine) return insert(text, last.end, `, ${literal}`);
  // A comment may stand between the element and its comma only on later lines, which the parser's check would refuse.
  const hasComma = /^[ \t]*,/.test(rest);
  const newline = rest.startsWith("\r\n", lineEnd) ? "\r\n" : "\n";
  const withLine = insert(
    text,
    last.end + lineEnd,
    `${newline}${indent}${literal}${hasComma ? "," : ""}`,
  );
  return hasComma ? withLine : insert(withLine, last.end, ",");
}

function removeElement(
  text: string,
  elements: readonly TomlEntry[],
  index: number,
): string {
  const element = elements[index];
  if (element === undefined) return text;
  const { start, end } = element;
  const before = text.slice(text.lastIndexOf("\n", start - 1) + 1, start);
  const after = /^[ \t]*,?[ \t]*(?:#[^\n]*)?\r?\n/.exec(text.slice(end));
  if (/^[ \t]*$/.test(before) && after)
    return cut(text, start - before.length, end + after[0].length);
  const comma = /^[ \t]*,[ \t]*/.exec(text.slice(end));
  const previous = elements[index - 1];
  if (comma && index < elements.length - 1)
    return cut(text, start, end + comma[0].length);
  const between = previous && text.slice(previous.end, start);
  return previous && /^[ \t]*,[ \t]*$/.test(between ?? "")
    ? cut(text, previous.end, end)
    : cut(text, start, end + (comma?.[0].length ?? 0));
}

function insert(text: string, at: number, added: string): string {
  return text.slice(0, at) + added + text.slice(at);
}

function cut(text: string, from: number, to: number): string {
  return text.slice(0, from) + text.slice(to);
}
