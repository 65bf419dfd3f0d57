import { integerOf, oddAnswer } from "./agent-values.js";

/** 2200-01-01, ms since 1970: a clock that says more is wrong by any measure. */
const latestMs = 7_258_118_400_000;

/**
 * The time that a guest says, ms since 1970.
 * @param value of `guest-get-time`: ns since 1970; beyond 2⁵³ and so rounded, to less than a microsecond, by whoever reads JSON
 * @throws AgentProtocolError
 * @see QEMU, qga/qapi-schema.json: guest-get-time
 */
export function parseGuestTime(value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
    throw oddAnswer("guest-get-time");
  return integerOf("guest-get-time", Math.round(value / 1e6), 0, latestMs);
}
