import type { LogFields, Logger } from "@banger/core";

export interface LogEntry {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that keeps what it is told. */
export function recordingLogger(
  entries: LogEntry[] = [],
  base: LogFields = {},
): Logger & { readonly entries: readonly LogEntry[] } {
  const log = (level: string) => (message: string, fields?: LogFields) => {
    entries.push({ level, message, fields: { ...base, ...fields } });
  };
  return {
    entries,
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
    child: (fields) => recordingLogger(entries, { ...base, ...fields }),
  };
}
