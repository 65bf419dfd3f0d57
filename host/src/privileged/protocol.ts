import type { ErrorReport } from "@banger/core";
import { z } from "zod";
import { parseJson } from "../files/parse-json.js";

/**
 * What daemon and root helper say to each other. One connection is one request: the client writes a line of JSON, the helper answers with
 * one and closes. A client that closes its side before that wants the request ended, and the helper closes when it has.
 */
export const protocolVersion = 1;

/** Most bytes of a request's line and of an answer's, the line's end included. */
export const mostRequestBytes = 64 * 1024;
export const mostAnswerBytes = 1024 * 1024;

/** Requests that a helper carries out at once, and so the most that a daemon asks for at once. */
export const mostRequestsAtOnce = 8;

/** Longest time for a request's line to come, ms. */
export const requestLineMs = 5_000;

/** How long a request that is to end may take to put its work down, ms; then it is given up on. */
export const endGraceMs = 5_000;

/** `<owner>.<verb-and-thing>`, as core asks of plugins; bounded, because it is logged. */
export const requestName = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$/);

const requestFrame = z.strictObject({
  version: z.literal(protocolVersion),
  /** of the daemon's log, which the helper's refers to */
  operationId: z
    .string()
    .regex(/^op-[0-9a-f]{8}$/)
    .optional(),
  request: requestName,
  /** absent for a request that takes nothing */
  input: z.unknown().optional(),
});

export type RequestFrame = z.output<typeof requestFrame>;

const errorReport = z.object({
  code: z.string().regex(/^ERR_[A-Z0-9_]+$/),
  kind: z.enum([
    "usage",
    "not-found",
    "conflict",
    "unavailable",
    "cancelled",
    "failed",
  ]),
  message: z.string(),
  hint: z.string().exactOptional(),
  details: z.array(z.string()).readonly().exactOptional(),
  operationId: z.string().exactOptional(),
}) satisfies z.ZodType<ErrorReport>;

const answerFrame = z.union([
  z.strictObject({ ok: z.literal(true), output: z.unknown().optional() }),
  z.strictObject({ error: errorReport }),
]);

export type AnswerFrame = z.output<typeof answerFrame>;

/** What makes a line unusable, in words. */
export type LineFault =
  | { readonly kind: "malformed"; readonly problem: string }
  | { readonly kind: "version"; readonly version: string };

/** Reads a request's line, without its end. Pure. */
export function parseRequest(line: Uint8Array): RequestFrame | LineFault {
  const text = decodeUtf8(line);
  if (text === undefined) return malformed("it is no UTF-8");
  const value = parseJson(text);
  if (value === undefined) return malformed("it is no JSON");
  const version = versionOf(value);
  if (version !== undefined && version !== String(protocolVersion))
    return { kind: "version", version };
  const parsed = requestFrame.safeParse(value);
  return parsed.success ? parsed.data : malformed("it is no request");
}

/** Reads an answer's line, without its end; `undefined` when it is none. Pure. */
export function parseAnswer(line: Uint8Array): AnswerFrame | undefined {
  const text = decodeUtf8(line);
  return text === undefined
    ? undefined
    : answerFrame.safeParse(parseJson(text)).data;
}

/** The line of a request or an answer. Pure. @throws TypeError for what JSON has no words for */
export function encodeLine(frame: RequestFrame | AnswerFrame): Buffer {
  return Buffer.from(`${JSON.stringify(frame)}\n`);
}

function malformed(problem: string): LineFault {
  return { kind: "malformed", problem };
}

/** A version that is a number of ours or theirs, so that somebody who speaks another one is told so. */
function versionOf(value: unknown): string | undefined {
  const parsed = z.looseObject({ version: z.int() }).safeParse(value);
  return parsed.success ? String(parsed.data.version) : undefined;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      bytes,
    );
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
