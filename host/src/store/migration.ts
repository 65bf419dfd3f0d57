/** One step of the schema's history. A published one is never changed: append the next. */
export interface Migration {
  /** whole numbers from 1 without a gap */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}
