import { stripVTControlCharacters } from "node:util";
import { printable } from "./printable.js";

/** Longest escape sequence that is waited for, characters. */
const mostPending = 4096;

/**
 * Makes a guest's text, as it comes in pieces, safe to show on a terminal: only line feeds, tabs and visible characters stay. A
 * sequence that a piece cuts in two is removed as well.
 */
export class TerminalText {
  readonly #decoder = new TextDecoder();
  #pending = "";

  push(bytes: Uint8Array): string {
    const text = this.#pending + this.#decoder.decode(bytes, { stream: true });
    const escape = text.lastIndexOf("\u001b");
    const isOpen = escape >= 0 && isUnfinished(text.slice(escape));
    this.#pending = isOpen ? text.slice(escape) : "";
    return clean(isOpen ? text.slice(0, escape) : text);
  }

  end(): string {
    const text = this.#pending + this.#decoder.decode();
    this.#pending = "";
    return clean(text);
  }
}

function clean(text: string): string {
  return printable(stripVTControlCharacters(text));
}

/** Whether more text could still belong to the sequence that begins this text. */
function isUnfinished(text: string): boolean {
  if (text.length > mostPending) return false;
  // ECMA-48: escape alone, CSI without its final byte, a control string without its terminator.
  // eslint-disable-next-line no-control-regex -- finding control characters is the point
  return /^\u001b(?:[ -/]*|\[[0-?]*[ -/]*|[\]PX^_][^\u0007\u001b\u009c\n]*)$/.test(
    text,
  );
}
