import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generateVmName, parseVmName } from "@banger/core";

describe("parseVmName", () => {
  it.each(["a", "0", "calm-otter", "a--b", "x".repeat(63)])(
    "accepts %s and leaves it as it is",
    (name) => expect(parseVmName(name)).toBe(name),
  );

  it.each([
    "",
    "-a",
    "a-",
    "A",
    "a.b",
    "a_b",
    "a b",
    "a\n",
    "ä",
    "x".repeat(64),
    "../etc",
  ])("refuses %j", (name) =>
    expect(() => parseVmName(name)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_VALUE", kind: "usage" }),
    ),
  );
});

describe("generateVmName", () => {
  it("gives a valid name for every draw", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (first, second) => {
          const draws = [first, second];
          const name = generateVmName((below) =>
            Math.floor((draws.shift() ?? 0) * below),
          );
          expect(parseVmName(name)).toMatch(/^[a-z]+-[a-z]+$/);
        },
      ),
    );
  });

  it("has thousands of names, none twice", () => {
    const below: number[] = [];
    generateVmName((count) => (below.push(count), 0));
    const [adjectives = 0, animals = 0] = below;
    const names = new Set<string>();
    for (let i = 0; i < adjectives; i++)
      for (let j = 0; j < animals; j++) {
        const draws = [i, j];
        names.add(generateVmName(() => draws.shift() ?? 0));
      }
    expect(names.size).toBe(adjectives * animals);
    expect(names.size).toBeGreaterThan(3000);
  });
});
