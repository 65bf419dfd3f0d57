import { BangerError, isBangerError, parseSize } from "@banger/core";
import { z } from "zod";

const mebibyte = 2 ** 20;
const longestDurationMs = 24 * 3600 * 1000;
const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** What is written when it is not derived from the host. */
type Written = string | number;

/** A size as users write it; a bare number is MiB. Output: bytes. */
export function sizeValue(leastMiB: number): z.ZodType<number, Written> {
  return z
    .union([z.string(), z.number()], "expected a size such as 512M or 8G")
    .transform((value, context) => {
      try {
        const bytes = parseSize(String(value));
        if (bytes >= leastMiB * mebibyte) return bytes;
        context.issues.push({
          code: "custom",
          input: value,
          message: `must be at least ${leastMiB.toString()}M`,
        });
      } catch (error) {
        if (!isBangerError(error)) throw error;
        context.issues.push({
          code: "custom",
          input: value,
          message: explain(error),
        });
      }
      return z.NEVER;
    });
}

/** Seconds as a number, or a string such as `90s` or `3m`; more than 0, at most a day. Output: milliseconds. */
export const durationValue: z.ZodType<number, Written> = z
  .union(
    [z.string(), z.number()],
    'expected seconds, or a duration such as "90s"',
  )
  .transform((value, context) => {
    const ms = typeof value === "number" ? value * 1000 : parseDuration(value);
    if (ms >= 1 && ms <= longestDurationMs) return Math.round(ms);
    context.issues.push({
      code: "custom",
      input: value,
      message: `${JSON.stringify(value)} is no duration: write seconds, or "90s", "3m"; at most a day`,
    });
    return z.NEVER;
  });

function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)$/.exec(text.trim());
  return match
    ? Number(match[1]) * (durationUnits[match[2] ?? ""] ?? NaN)
    : NaN;
}

function explain({ message, hint }: BangerError): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}
