import { BangerError, isBangerError, parseSize } from "@banger/core";
import { z } from "zod";
import { parseBridgeSettings } from "../network/bridge-settings.js";

const mebibyte = 2 ** 20;
const dayMs = 24 * 3_600_000;
const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: dayMs,
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

/**
 * Seconds as a number, or a string such as `90s` or `3m`. Output: milliseconds, more than 0.
 * @param mostDays longest that is accepted
 * @param zero is 0 accepted too, for "never"?
 */
export function durationValue({
  mostDays = 1,
  zero = false,
}: {
  readonly mostDays?: number;
  readonly zero?: boolean;
} = {}): z.ZodType<number, Written> {
  const most = mostDays === 1 ? "a day" : `${mostDays.toString()} days`;
  const never = zero ? ", or 0 for never" : "";
  return z
    .union(
      [z.string(), z.number()],
      'expected seconds, or a duration such as "90s"',
    )
    .transform((value, context) => {
      const ms =
        typeof value === "number" ? value * 1000 : parseDuration(value);
      if ((ms >= 1 || (zero && ms === 0)) && ms <= mostDays * dayMs)
        return Math.round(ms);
      context.issues.push({
        code: "custom",
        input: value,
        message: `${JSON.stringify(value)} is no duration: write seconds, or "90s", "3m"; at most ${most}${never}`,
      });
      return z.NEVER;
    });
}

/** The host's address on a bridge, with prefix length: the first of a private subnet. */
export function bridgeAddressValue(): z.ZodString {
  return z.string().superRefine((value, context) => {
    try {
      parseBridgeSettings("br-fc", value);
    } catch (error) {
      if (!isBangerError(error)) throw error;
      context.addIssue({ code: "custom", message: explain(error) });
    }
  });
}

/** A bare 0 in a string needs no unit. */
function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim());
  if (text.trim() === "0") return 0;
  return match
    ? Number(match[1]) * (durationUnits[match[2] ?? ""] ?? NaN)
    : NaN;
}

function explain({ message, hint }: BangerError): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}
