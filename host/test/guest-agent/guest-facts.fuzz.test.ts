import { isBangerError } from "@banger/core";
import fc from "fast-check";
import { expect, it } from "vitest";
import { parseGuestFacts } from "../../src/guest-agent/guest-facts.js";

const meminfo = "MemTotal: 496728 kB\nMemFree: 1 kB\nMemAvailable: 400000 kB\n";
const loadavg = "0.31 1.05 12.70 2/73 412\n";

/** A text with some of it replaced. */
const changed = (text: string): fc.Arbitrary<string> =>
  fc
    .array(
      fc.tuple(
        fc.nat(text.length),
        fc.nat(4),
        fc.oneof(
          fc.string({ unit: "binary", maxLength: 4 }),
          fc.stringMatching(/^[0-9. \n-]{0,12}$/),
        ),
      ),
      { maxLength: 4 },
    )
    .map((cuts) =>
      cuts.reduce(
        (now, [at, length, put]) =>
          now.slice(0, at) + put + now.slice(at + length),
        text,
      ),
    );

it("gives possible facts or a typed error, whatever the guest's files say", () => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(changed(meminfo), changed(loadavg), (memory, load) => {
      try {
        const facts = parseGuestFacts(memory, load);
        outcomes.add("facts");
        const { memoryTotalBytes, memoryAvailableBytes, loadAverage } = facts;
        expect(Number.isSafeInteger(memoryTotalBytes)).toBe(true);
        expect(memoryAvailableBytes).toBeGreaterThanOrEqual(0);
        expect(memoryAvailableBytes).toBeLessThanOrEqual(memoryTotalBytes);
        for (const average of loadAverage)
          expect(average >= 0 && average < 1e6).toBe(true);
      } catch (error) {
        if (!isBangerError(error)) throw error;
        outcomes.add(error.code);
      }
    }),
    { numRuns: 5_000 },
  );
  expect([...outcomes].sort()).toEqual(["ERR_AGENT_PROTOCOL", "facts"]);
});
