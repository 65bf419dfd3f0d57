import { describe, expect, it } from "vitest";
import { everyNth, killPoints, spread } from "./points.js";
import { insertKillMatrix } from "./kill-table.js";

describe("killPoints", () => {
  it("takes every call twice", () => {
    expect(killPoints(["vmStore.list", "network.prepare"])).toEqual([
      { at: 1, call: "vmStore.list", moment: "before" },
      { at: 1, call: "vmStore.list", moment: "after" },
      { at: 2, call: "network.prepare", moment: "before" },
      { at: 2, call: "network.prepare", moment: "after" },
    ]);
  });

  it("takes the first and the last of a row that only looks, and all of a row that changes", () => {
    const looks = killPoints(Array<string>(5).fill("commands.find"));
    expect(looks.map(({ at }) => at)).toEqual([1, 1, 5, 5]);
    const changes = killPoints(Array<string>(3).fill("vmStore.update"));
    expect(changes.map(({ at }) => at)).toEqual([1, 1, 2, 2, 3, 3]);
  });
});

describe("samples", () => {
  const ten = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

  it("are spread evenly", () => {
    expect(spread(ten, 2)).toEqual([2, 7]);
    expect(everyNth(ten, 5)).toEqual([2, 7]);
  });

  it("have moments before and after, whatever the step", () => {
    const sample = everyNth([...Array(24).keys()], 6);
    expect(sample).toEqual([3, 8, 15, 20]);
    expect(new Set(sample.map((index) => index % 2)).size).toBe(2);
  });

  it("of one in one are all", () => {
    expect(everyNth(ten, 1)).toEqual(ten);
    expect(spread(ten, 99)).toEqual(ten);
  });
});

describe("insertKillMatrix", () => {
  it("makes the markers and later replaces what is between them", () => {
    const first = insertKillMatrix("# Reliability\n", "vm", "old\n");
    const second = insertKillMatrix(`${first}after\n`, "vm", "new\n");
    expect(first).toContain(
      "<!-- begin kill matrix: vm -->\n\nold\n\n<!-- end -->",
    );
    expect(second).toContain("\n\nnew\n\n<!-- end -->\nafter");
    expect(second).not.toContain("old");
  });

  it("leaves the other subject's alone", () => {
    const vm = insertKillMatrix("# Reliability\n", "vm", "of VMs\n");
    const both = insertKillMatrix(vm, "image", "of images\n");
    const again = insertKillMatrix(both, "vm", "of VMs, later\n");
    expect(again).toContain("of VMs, later");
    expect(again).toContain("of images");
    expect(again).not.toContain("of VMs\n");
  });
});
