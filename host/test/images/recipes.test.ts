import { spawnSync } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  initramfsDirectory,
  readList,
  recipes,
} from "../../src/images/recipe.js";

function checkSyntax(script: string): void {
  const { status, stderr } = spawnSync("sh", ["-n", script], {
    encoding: "utf8",
  });
  expect({ script, status, stderr }).toEqual({ script, status: 0, stderr: "" });
}

it("has a script for the initramfs that a shell can read", () => {
  checkSyntax(`${initramfsDirectory}/init`);
});

describe.each(recipes)("$name", ({ directory }) => {
  it.each(["customize.sh", "kernel.sh"])("has %s, executable", async (name) => {
    checkSyntax(`${directory}/${name}`);
    await access(`${directory}/${name}`, constants.X_OK);
  });

  it.each(["packages", "masked-units", "delayed-units"])(
    "lists nothing twice and nothing odd in %s",
    async (name) => {
      const lines = await readList(`${directory}/${name}`);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.filter((line, at) => lines.indexOf(line) !== at)).toEqual(
        [],
      );
      const pattern =
        name === "packages" ? /^[a-z0-9][a-z0-9.+-]*$/ : /^[\w@-]+\.[a-z]+$/;
      expect(lines.filter((line) => !pattern.test(line))).toEqual([]);
    },
  );

  it("masks no unit that it delays", async () => {
    const masked = await readList(`${directory}/masked-units`);
    const delayed = await readList(`${directory}/delayed-units`);
    expect(delayed.filter((unit) => masked.includes(unit))).toEqual([]);
  });
});

it("loads each module of the initramfs once", async () => {
  const modules = await readList(`${initramfsDirectory}/modules`);
  const names = modules.map((path) => path.slice(path.lastIndexOf("/") + 1));
  expect(new Set(names).size).toBe(names.length);
  expect(modules.filter((path) => !/^[a-z0-9_/-]+\.ko$/.test(path))).toEqual(
    [],
  );
});
