import type { LogFields, Logger } from "../contracts/logger.js";

export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  /** of the entry and of every parent logger */
  readonly fields: LogFields;
}

/** A {@link Logger} that keeps what it is told. Children write into the same list. */
export interface MemoryLogger extends Logger {
  readonly entries: readonly LogEntry[];
}

export function memoryLogger(
  inherited: LogFields = {},
  entries: LogEntry[] = [],
): MemoryLogger {
  const write =
    (level: LogEntry["level"]) =>
    (message: string, fields: LogFields = {}): void => {
      entries.push({ level, message, fields: { ...inherited, ...fields } });
    };
  return {
    entries,
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (fields) => memoryLogger({ ...inherited, ...fields }, entries),
  };
}
