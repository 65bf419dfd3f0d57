import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "../run.js";
import { temporaryDirectory } from "../temporary-directory.js";

const record = {
  format: 1,
  owner: { name: "ann", uid: 1000, gid: 1000, home: "/home/ann" },
  ...{ version: "1.0.0", build: "0123456789ab", service: "systemd" },
  ...{ program: "program-0123456789ab-01234567", parents: [] },
  installedAt: "2026-01-01T00:00:00.000Z",
  plugins: ["@banger/plugin-nat"],
  vmm: {},
};

/** A stand-in for the program behind the commands: answers by verb, and notes what it was asked. */
async function setUp(answers: Readonly<Record<string, unknown>>) {
  const home = await temporaryDirectory();
  const systemProgram = join(home, "system.mjs");
  const asked = join(home, "asked");
  await writeFile(asked, "");
  await writeFile(
    systemProgram,
    `import { appendFileSync } from "node:fs";
    const answers = ${JSON.stringify(answers)};
    appendFileSync(${JSON.stringify(asked)}, process.argv[2] + "\\n");
    console.error("a step");
    console.log(JSON.stringify(answers[JSON.parse(process.argv[2]).verb]));`,
  );
  return {
    run: (...argv: readonly string[]) =>
      run(["system", ...argv], { home, systemProgram }),
    asked: async () =>
      (await readFile(asked, "utf8"))
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as unknown),
  };
}

const summary = { record, isUpgrade: false, copiesNode: true, userVms: 2 };

describe("banger system", () => {
  it("says what it will make, and makes nothing where nobody can agree", async () => {
    const system = await setUp({ plan: { value: summary } });
    const { status, stderr } = await system.run("install", "--owner", "ann");
    expect(status).toBe(2);
    expect(stderr).toContain("ann (uid 1000)");
    expect(stderr).toContain("ann has VMs without it (2)");
    expect(stderr).toContain("ERR_USAGE");
    expect(await system.asked()).toEqual([
      { verb: "plan", owner: "ann", plugins: [] },
    ]);
  });

  it("installs when it was agreed to beforehand", async () => {
    const system = await setUp({
      plan: { value: summary },
      install: { value: summary },
    });
    const { status, stdout, stderr } = await system.run(
      ...["install", "--yes", "--plugin", "a", "--plugin", "b"],
    );
    expect(status).toBe(0);
    expect(stderr).toContain("a step");
    expect(stdout).toBe(
      "banger 1.0.0 (build 0123456789ab) is installed for ann\n",
    );
    expect(await system.asked()).toEqual([
      { verb: "plan", plugins: ["a", "b"] },
      { verb: "install", plugins: ["a", "b"] },
    ]);
  });

  it("shows the program's error as its own", async () => {
    const error = {
      ...{ code: "ERR_NOT_ROOT", kind: "failed" },
      ...{ message: "only root may", hint: "sudo" },
    };
    const system = await setUp({ restart: { error } });
    const { status, stderr } = await system.run("restart");
    expect(status).toBe(1);
    expect(stderr).toContain("[ERR_NOT_ROOT]");
    expect(stderr).toContain("hint: sudo");
  });

  it("shows the install, and that this command is of another build", async () => {
    const value = {
      record,
      problems: ["the link is gone"],
      units: { "bangerd.service": "failed" },
      ...{ helper: "answers", daemon: "silent" },
      paths: { programsDirectory: "/p", configDirectory: "/c" },
    };
    const system = await setUp({ status: { value } });
    const { stdout, stderr } = await system.run("status");
    expect(stderr).toBe("");
    const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
    expect(rows).toContainEqual(["owner", "ann (uid 1000)"]);
    expect(rows).toContainEqual([
      "build",
      "0123456789ab (this command is build abcdefabcdef)",
    ]);
    expect(rows).toContainEqual(["bangerd.service", "failed"]);
    expect(rows).toContainEqual(["helper", "answers"]);
    expect(rows).toContainEqual(["daemon", "does not answer"]);
    expect(rows).toContainEqual(["problem", "the link is gone"]);
    expect(JSON.parse((await system.run("status", "--json")).stdout)).toEqual({
      ...{ installed: true, ...value },
      command: { version: "9.8.7", id: "abcdefabcdef" },
    });
  });

  it.each([
    ["systemd", "sudo banger system restart"],
    ["none", "sudo banger system run-helper"],
  ])("says how a helper is started: %s", async (service, command) => {
    const value = {
      record: { ...record, service },
      ...{ problems: [], units: {}, helper: "silent", daemon: "answers" },
      paths: {},
    };
    const system = await setUp({ status: { value } });
    expect((await system.run("status")).stdout).toContain(
      `does not answer; start it: ${command}`,
    );
  });

  it("says that there is no install", async () => {
    const system = await setUp({ status: { value: null } });
    expect((await system.run("status")).stdout).toContain(
      "there is no system install",
    );
  });

  it("lists what an uninstall removed and kept", async () => {
    const system = await setUp({
      uninstall: { value: { removed: ["/a"], kept: ["/b"] } },
    });
    const { stdout } = await system.run("uninstall", "--yes", "--purge");
    expect(stdout).toBe("removed  /a\nkept     /b\n");
    expect(await system.asked()).toEqual([{ verb: "uninstall", purge: true }]);
  });
});
