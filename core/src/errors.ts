import { inspect } from "node:util";

/** What went wrong in the caller's terms; decides exit status and HTTP status. */
export type ErrorKind =
  "usage" | "not-found" | "conflict" | "unavailable" | "cancelled" | "failed";

export interface BangerErrorOptions {
  /** one next step, in the imperative */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** An error as it travels over the daemon's API and into `--json` output. */
export interface ErrorReport {
  readonly code: string;
  readonly kind: ErrorKind;
  readonly message: string;
  readonly hint?: string;
  /** further faults that belong to this one: findings, leftovers, causes */
  readonly details?: readonly string[];
  /** finds the operation in the daemon's log */
  readonly operationId?: string;
}

// A registered symbol, not `instanceof`: two copies of core may be installed (execa's habit).
const brand = Symbol.for("banger.error");

/**
 * The base of every error that a user can meet. `code` is stable and matches `ERR_[A-Z0-9_]+`; scripts and tests match it and
 * never the message.
 */
export abstract class BangerError extends Error {
  abstract readonly code: string;
  readonly kind: ErrorKind = "failed";
  readonly hint: string | undefined;
  readonly [brand] = true;

  constructor(message: string, options: BangerErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }

  /** Lines that a report lists under the message. */
  get details(): readonly string[] {
    return [];
  }
}

export function isBangerError(value: unknown): value is BangerError {
  return typeof value === "object" && value !== null && brand in value;
}

/** A branch of several failures; its own message names the operation, `details` every failure. */
export class JoinedError extends BangerError {
  override readonly code = "ERR_SEVERAL";
  readonly errors: readonly unknown[];

  constructor(
    message: string,
    errors: readonly unknown[],
    options: { readonly hint?: string } = {},
  ) {
    super(message, { ...options, cause: errors[0] });
    this.errors = errors;
  }

  override get details(): readonly string[] {
    return this.errors.map(describeError);
  }
}

/** One line for a person: message, then the chain of causes that add something. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  let current = error;
  // Bounded by its length and not by its parts: a chain of causes may be a ring.
  for (let depth = 0; current !== undefined && depth < 5; depth++) {
    const text = current instanceof Error ? current.message : render(current);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}

function render(thrown: unknown): string {
  return typeof thrown === "string" ? thrown : inspect(thrown, { depth: 1 });
}

/** The error as data. An error that is not a {@link BangerError} is a broken invariant and reads `ERR_INTERNAL`. */
export function reportError(error: unknown, operationId?: string): ErrorReport {
  const operation = operationId === undefined ? {} : { operationId };
  if (!isBangerError(error)) {
    return {
      code: "ERR_INTERNAL",
      kind: "failed",
      message: describeError(error),
      hint: "This is a bug in banger; `banger daemon logs` has the stack",
      ...operation,
    };
  }
  const details = error.details.length > 0 ? error.details : causeOf(error);
  return {
    code: error.code,
    kind: error.kind,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(details.length === 0 ? {} : { details }),
    ...operation,
  };
}

/** What the causes add to the message, which often quotes them. */
function causeOf(error: BangerError): readonly string[] {
  const added = describeError(error).slice(error.message.length + ": ".length);
  return added === "" ? [] : [`caused by: ${added}`];
}

/** A {@link ErrorReport} that came over the API, thrown again on this side. */
export class ReportedError extends BangerError {
  override readonly code: string;
  override readonly kind: ErrorKind;
  readonly report: ErrorReport;

  constructor(report: ErrorReport) {
    super(
      report.message,
      report.hint === undefined ? {} : { hint: report.hint },
    );
    this.code = report.code;
    this.kind = report.kind;
    this.report = report;
  }

  override get details(): readonly string[] {
    return this.report.details ?? [];
  }
}

/** The owner of the operation went away or asked for its end. */
export class CancelledError extends BangerError {
  override readonly code = "ERR_CANCELLED";
  override readonly kind = "cancelled";
  constructor(what: string, cause?: unknown) {
    super(`${what} was cancelled`, { cause });
  }
}

/** A value given by the user does not fit. */
export class InvalidValueError extends BangerError {
  override readonly code = "ERR_INVALID_VALUE";
  override readonly kind = "usage";
}
