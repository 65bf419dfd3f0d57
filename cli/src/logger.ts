import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { LogFields, Logger } from "@banger/core";
import {
  createLogger,
  format,
  transports,
  type Logger as WinstonLogger,
} from "winston";

/** Most bytes of one log file, and how many older ones are kept. */
const mostFileBytes = 5 * 1024 * 1024;
const mostFiles = 3;

/** A JSON line for each entry; errors keep name, code, stack and causes, which winston itself would drop. */
const lineFormat = format.combine(
  format((info) => {
    for (const [key, value] of Object.entries(info)) {
      if (value instanceof Error) info[key] = renderError(value);
    }
    return info;
  })(),
  format.timestamp(),
  format.json(),
);

/** A log of JSON lines: the daemon's in a file, the root helper's on stderr. */
export class WinstonLog implements Logger {
  readonly #winston: WinstonLogger;

  private constructor(winston: WinstonLogger) {
    this.#winston = winston;
  }

  /** To a file of mode 0600 that is rotated by size. */
  static toFile(path: string, level: string): WinstonLog {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = new transports.File({
      filename: path,
      maxsize: mostFileBytes,
      maxFiles: mostFiles,
      tailable: true,
      options: { flags: "a", mode: 0o600 },
    });
    return new WinstonLog(
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston declares its transports apart from the class they extend
      createLogger({ level, format: lineFormat, transports: [file] }),
    );
  }

  /** To stderr, which whoever started the process keeps or shows. */
  static toStderr(level: string): WinstonLog {
    // Who reads it may go: the process goes on without a log.
    process.stderr.on("error", () => undefined);
    const stderr = new transports.Stream({ stream: process.stderr });
    return new WinstonLog(
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- as above
      createLogger({ level, format: lineFormat, transports: [stderr] }),
    );
  }

  debug(message: string, fields?: LogFields): void {
    this.#winston.debug(message, safe(fields));
  }
  info(message: string, fields?: LogFields): void {
    this.#winston.info(message, safe(fields));
  }
  warn(message: string, fields?: LogFields): void {
    this.#winston.warn(message, safe(fields));
  }
  error(message: string, fields?: LogFields): void {
    this.#winston.error(message, safe(fields));
  }

  child(fields: LogFields): Logger {
    return new WinstonLog(this.#winston.child(safe(fields)));
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    const finished = new Promise<void>((resolve) =>
      this.#winston.on("finish", resolve),
    );
    this.#winston.end();
    await finished;
  }
}

/** winston appends a field `message` to the message and loses a field `level`. */
function safe(fields: LogFields = {}): Record<string, unknown> {
  const { message, level, ...rest } = fields;
  return {
    ...rest,
    ...(message === undefined ? {} : { text: message }),
    ...(level === undefined ? {} : { levelField: level }),
  };
}

function renderError(error: Error): unknown {
  const { name, message, stack, cause } = error;
  const { code } = error as { code?: unknown };
  return {
    name,
    message,
    ...(code === undefined ? {} : { code }),
    stack,
    ...(cause === undefined
      ? {}
      : { cause: cause instanceof Error ? renderError(cause) : cause }),
  };
}
