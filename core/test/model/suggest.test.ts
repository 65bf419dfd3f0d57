import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearestName, suggestName } from "@banger/core";

const known = ["nat", "dns", "work-disk", "file-sync"];

describe("nearestName", () => {
  it.each([
    ["workdisk", "work-disk"],
    ["work-dsik", "work-disk"],
    ["wrok-disk", "work-disk"],
    ["nta", "nat"],
    ["file-syncs", "file-sync"],
  ])("takes %s for %s", (word, name) =>
    expect(nearestName(word, known)).toBe(name),
  );

  it.each(["snapshots", "zzz", "", "n", "na"])("takes %j for nothing", (word) =>
    expect(nearestName(word, known)).toBeUndefined(),
  );

  it.each([
    ["f", "a"],
    ["fa", "a"],
    ["vn", "vm"],
  ])("takes %s for nothing, though %s is one edit away", (word, name) =>
    expect(nearestName(word, [name])).toBeUndefined(),
  );

  it("prefers the nearest of several", () => {
    expect(nearestName("card", ["care", "card-a", "card"])).toBe("card");
  });

  it("finds any long word after one edit, whatever the word", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 4, maxLength: 40 }),
        fc.nat(),
        fc.string({ minLength: 1, maxLength: 1 }),
        (word, place, letter) => {
          const at = place % word.length;
          const deleted = word.slice(0, at) + word.slice(at + 1);
          const inserted = word.slice(0, at) + letter + word.slice(at);
          const swapped =
            word.slice(0, at) +
            word
              .slice(at, at + 2)
              .split("")
              .reverse()
              .join("") +
            word.slice(at + 2);
          for (const edited of [deleted, inserted, swapped])
            expect(nearestName(edited, [word])).toBe(word);
        },
      ),
    );
  });
});

describe("suggestName", () => {
  it("names the nearest, else all in order, else says that there are none", () => {
    expect(suggestName("nta", known)).toBe("Did you mean nat?");
    expect(suggestName("zzz", known)).toBe(
      "Known: dns, file-sync, nat, work-disk",
    );
    expect(suggestName("zzz", known, 2)).toBe(
      "Known: dns, file-sync and 2 more",
    );
    expect(suggestName("zzz", [])).toBe("There are none yet");
  });
});
