import { describe, expect, it } from "vitest";
import { placePackages } from "../../src/system/place-packages.js";
import type { ProgramPackage } from "../../src/system/program-packages.js";

/** Packages by directory, which is name and version; each with those that it needs. */
function packages(
  needs: Readonly<Record<string, readonly string[]>>,
): ReadonlyMap<string, ProgramPackage> {
  const nameOf = (directory: string): string => directory.split("@")[0] ?? "";
  return new Map(
    Object.entries(needs).map(([directory, needed]) => [
      directory,
      {
        ...{ name: nameOf(directory), directory, isPlugin: false },
        dependencies: new Map(needed.map((each) => [nameOf(each), each])),
      },
    ]),
  );
}

const placed = (
  needs: Readonly<Record<string, readonly string[]>>,
): Record<string, string> =>
  Object.fromEntries(
    placePackages(packages(needs)).map(({ path, source }) => [
      path,
      source.directory,
    ]),
  );

describe("placing packages", () => {
  it("puts each at the top once, also those that need each other", () => {
    expect(
      placed({ "cli@1": ["a@1", "b@1"], "a@1": ["b@1"], "b@1": ["a@1"] }),
    ).toEqual({
      "node_modules/cli": "cli@1",
      "node_modules/a": "a@1",
      "node_modules/b": "b@1",
    });
  });

  it("puts another version below whoever needs it, and what that needs too", () => {
    expect(
      placed({
        "cli@1": ["a@1", "lib@1", "deep@1"],
        "a@1": ["lib@2"],
        "lib@1": [],
        "lib@2": ["deep@2"],
        "deep@1": [],
        "deep@2": [],
      }),
    ).toEqual({
      "node_modules/cli": "cli@1",
      "node_modules/a": "a@1",
      "node_modules/lib": "lib@1",
      "node_modules/deep": "deep@1",
      "node_modules/a/node_modules/lib": "lib@2",
      "node_modules/a/node_modules/lib/node_modules/deep": "deep@2",
    });
  });
});
