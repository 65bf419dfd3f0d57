import { describe, expect, it } from "vitest";
import { nameSome } from "../../src/model/name-some.js";

describe("nameSome", () => {
  it.each([
    [[], ""],
    [["a"], "a"],
    [["a", "b", "c", "d", "e"], "a, b, c, d, e"],
    [["a", "b", "c", "d", "e", "f"], "a, b, c, d, e and 1 more"],
    [Array.from({ length: 70 }, () => "a"), "a, a, a, a, a and 65 more"],
  ])("%j is %j", (names, text) => {
    expect(nameSome(names)).toBe(text);
  });
});
