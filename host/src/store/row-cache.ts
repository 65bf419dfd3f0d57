import type { VmRecord } from "@banger/core";
import {
  readVmRow,
  type DirectoriesOf,
  type ReadRow,
  type VmRow,
} from "./vm-row.js";

interface Entry {
  readonly row: VmRow;
  readonly read: ReadRow;
}

/**
 * What was read from rows, kept while their columns are unchanged: checking a record takes much longer than comparing the text it is made of.
 * The database stays the truth, as every read still fetches the row. Records are frozen, since callers share them.
 */
export class RowCache {
  readonly #directoriesOf: DirectoriesOf;
  readonly #entries = new Map<string, Entry>();

  constructor(directoriesOf: DirectoriesOf) {
    this.#directoriesOf = directoriesOf;
  }

  read(row: VmRow): ReadRow {
    const known = this.#entries.get(row.id);
    if (known && isEqual(known.row, row)) return known.read;
    const read = readVmRow(row, this.#directoriesOf);
    freeze(read.vm);
    this.#entries.set(row.id, { row, read });
    return read;
  }

  forget(id: VmRecord["id"]): void {
    this.#entries.delete(id);
  }
}

function isEqual(one: VmRow, other: VmRow): boolean {
  return (Object.keys(one) as (keyof VmRow)[]).every(
    (column) => one[column] === other[column],
  );
}

function freeze(value: object): void {
  for (const part of Object.values(value) as unknown[])
    if (typeof part === "object" && part !== null) freeze(part);
  Object.freeze(value);
}
