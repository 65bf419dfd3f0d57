export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log: the message is a constant sentence, values are fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** a logger whose every entry carries these fields too */
  child(fields: LogFields): Logger;
}
