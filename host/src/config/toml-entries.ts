/** Where something of a TOML text is, as offsets into it. */
export interface TomlEntry {
  /** keys, and for elements of arrays their index */
  readonly path: readonly (string | number)[];
  /** `[table]` or `[[table]]`, `key = value`, or an element of an array */
  readonly kind: "header" | "pair" | "element";
  /** the header's bracket, the first key, or the element */
  readonly start: number;
  /** of the value; of a header, what follows its last bracket */
  readonly valueStart: number;
  readonly end: number;
}

/**
 * Finds every header, pair and array element of a text that the TOML parser has accepted, in the order in which they are written. The
 * parser gives values without places; this gives the places.
 * @see https://toml.io/en/v1.0.0
 */
export function tomlEntries(text: string): readonly TomlEntry[] {
  return new TomlScanner(text).scan();
}

class TomlScanner {
  readonly #text: string;
  readonly #entries: TomlEntry[] = [];
  /** number of `[[…]]` seen, by JSON of the path */
  readonly #arrays = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): readonly TomlEntry[] {
    let table: readonly (string | number)[] = [];
    while (this.#skipBlank()) {
      if (this.#text[this.#at] === "[") table = this.#header();
      else this.#pair(table);
    }
    return this.#entries;
  }

  get #more(): boolean {
    return this.#at < this.#text.length;
  }

  #header(): readonly (string | number)[] {
    const start = this.#at;
    const brackets = this.#text.startsWith("[[", start) ? 2 : 1;
    this.#at += brackets;
    const keys = this.#keys("]");
    this.#at += brackets;
    const path: (string | number)[] = [];
    for (const [index, key] of keys.entries()) {
      path.push(key);
      const name = JSON.stringify(path);
      const isNew = brackets === 2 && index === keys.length - 1;
      const count = (this.#arrays.get(name) ?? 0) + (isNew ? 1 : 0);
      if (count === 0) continue;
      this.#arrays.set(name, count);
      path.push(count - 1);
    }
    const end = this.#at;
    this.#entries.push({ path, kind: "header", start, valueStart: end, end });
    return path;
  }

  #pair(table: readonly (string | number)[]): void {
    const start = this.#at;
    const path = [...table, ...this.#keys("=")];
    this.#at += 1;
    this.#skipSpace();
    this.#value({ path, kind: "pair", start });
  }

  /** Dotted keys up to a closing character. */
  #keys(close: string): readonly string[] {
    const keys: string[] = [];
    while (this.#skipSpace()) {
      const next = this.#text[this.#at];
      if (next === close) break;
      if (next === ".") this.#at += 1;
      else if (next === '"' || next === "'") {
        const start = this.#at;
        this.#string();
        keys.push(unquote(this.#text.slice(start, this.#at)));
      } else keys.push(this.#take(/[^\s.=\]]+/y));
    }
    return keys;
  }

  #value(place: Pick<TomlEntry, "path" | "kind" | "start">): void {
    const valueStart = this.#at;
    // Listed before what is inside, though its end comes after.
    const index = this.#entries.push({ ...place, valueStart, end: 0 }) - 1;
    switch (this.#text[this.#at]) {
      case "[":
        this.#array(place.path);
        break;
      case "{":
        this.#inlineTable(place.path);
        break;
      case '"':
      case "'":
        this.#string();
        break;
      default:
        this.#take(/[^,\]}#\r\n]*[^,\]}#\s]/y);
    }
    this.#entries[index] = { ...place, valueStart, end: this.#at };
  }

  #array(path: TomlEntry["path"]): void {
    this.#at += 1;
    let index = 0;
    while (this.#skipBlank()) {
      const next = this.#text[this.#at];
      if (next === "]") break;
      if (next === ",") this.#at += 1;
      else {
        const element = [...path, index++];
        this.#value({ path: element, kind: "element", start: this.#at });
      }
    }
    this.#at += 1;
  }

  #inlineTable(path: TomlEntry["path"]): void {
    this.#at += 1;
    while (this.#skipBlank()) {
      const next = this.#text[this.#at];
      if (next === "}") break;
      if (next === ",") this.#at += 1;
      else this.#pair(path);
    }
    this.#at += 1;
  }

  #string(): void {
    const quote = this.#text[this.#at] ?? "";
    const fence = this.#text.startsWith(quote.repeat(3), this.#at) ? 3 : 1;
    this.#at += fence;
    while (this.#more && !this.#text.startsWith(quote.repeat(fence), this.#at))
      this.#at += quote === '"' && this.#text[this.#at] === "\\" ? 2 : 1;
    this.#at += fence;
    // A multi-line string may end with one or two quotes of its own.
    if (fence === 3)
      for (let n = 0; n < 2 && this.#text[this.#at] === quote; n++)
        this.#at += 1;
  }

  /** @returns whether there is more */
  #skipSpace(): boolean {
    this.#at += this.#peek(/[ \t]*/y).length;
    return this.#more;
  }

  /** Space, line ends and comments. @returns whether there is more */
  #skipBlank(): boolean {
    this.#at += this.#peek(/(?:[ \t\r\n]|#[^\n]*)*/y).length;
    return this.#more;
  }

  /** Moves past what the pattern matches here; at least one character, so that no loop stands still. */
  #take(pattern: RegExp): string {
    const found = this.#peek(pattern);
    this.#at += Math.max(1, found.length);
    return found;
  }

  #peek(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? "";
  }
}

function unquote(key: string): string {
  if (key.startsWith("'")) return key.slice(1, -1);
  // TOML's basic strings have JSON's escapes, and \e \xHH \UHHHHHHHH besides, which nobody writes in a key.
  try {
    return String(JSON.parse(key));
  } catch (error) {
    if (error instanceof SyntaxError) return key.slice(1, -1);
    throw error;
  }
}
