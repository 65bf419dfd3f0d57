import { execFile, spawnSync } from "node:child_process";
import { chmod, chown } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { requireRootOwnedTree } from "@banger/host/helper";
import { describe, expect, it } from "vitest";
import {
  ask,
  bundleHelper,
  makeProgram,
  owner,
  pluginDirectory,
  runProgram,
} from "./helper-program.js";

/** Why the program cannot run here; empty when it can. */
const obstacle = await findObstacle();

async function findObstacle(): Promise<string> {
  if (process.getuid?.() !== 0) return "this is not root";
  const unshare = ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"];
  if (spawnSync("unshare", unshare).status !== 0)
    return "no mount namespaces here";
  try {
    await requireRootOwnedTree(process.execPath);
    return "";
  } catch {
    return "others can change this Node.js";
  }
}

it("is made without the API server, the store and SSH", async () => {
  const { inputs } = await bundleHelper();
  const packages = inputs.flatMap(
    (file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? [],
  );
  expect(packages).toContain("winston");
  for (const foreign of ["fastify", "better-sqlite3", "ssh2", "yargs"])
    expect(packages).not.toContain(foreign);
});

describe.runIf(obstacle === "")(`banger-root ${obstacle}`, () => {
  it("serves the record's owner with the requests of host and plugins", async () => {
    const program = await makeProgram(["one", "two"]);
    const helper = await runProgram(program, ["one", "two"]);
    expect(JSON.parse(await ask(helper, "helper.ping", {}))).toEqual({
      ok: true,
      output: { version: "1.0.0", build: "dev" },
    });
    for (const id of ["one", "two"])
      expect(await ask(helper, `${id}.wait`, 1)).toBe(
        '{"ok":true,"output":"waited"}\n',
      );
    expect(helper.log).toContainEqual(
      expect.objectContaining({
        level: "info",
        message: "Request carried out",
        request: "two.wait",
        uid: 0,
        pid: process.pid,
        code: "ok",
      }),
    );
    expect(helper.log[0]).toMatchObject({ owner, build: "dev" });
  });

  it("ends with what it carries out, at a signal", async () => {
    const helper = await runProgram(await makeProgram(["one"]), ["one"]);
    const asked = ask(helper, "one.wait", 1_000);
    await sleep(300);
    helper.child.kill("SIGTERM");
    expect(await asked).toBe('{"ok":true,"output":"waited"}\n');
    expect(await helper.ended).toBe(0);
    expect(helper.log.map(({ message }) => message)).toContain(
      "Root helper ends",
    );
  });

  it("cuts a request off when it is killed", async () => {
    const helper = await runProgram(await makeProgram(["one"]), ["one"]);
    const asked = ask(helper, "one.wait", 30_000);
    await sleep(300);
    helper.child.kill("SIGKILL");
    expect(await asked).toBe("");
    expect(await helper.ended).toBe("SIGKILL");
  });

  it("needs a system install", async () => {
    const helper = await runProgram(await makeProgram([]));
    expect(await helper.ended).toBe(1);
    expect(helper.log.at(-1)).toMatchObject({ code: "ERR_NOT_INSTALLED" });
  });

  it.each([
    {
      what: "a directory that others may write",
      spoil: (program: string) => chmod(join(program, "cli"), 0o777),
    },
    {
      what: "a package's file that is somebody's",
      spoil: (program: string) =>
        chown(join(pluginDirectory(program, "one"), "index.js"), owner, 0),
    },
  ])("needs a program without $what", async ({ spoil }) => {
    const program = await makeProgram(["one"]);
    await spoil(program);
    const helper = await runProgram(program, []);
    expect(await helper.ended).toBe(1);
    expect(helper.log.at(-1)).toMatchObject({ code: "ERR_NOT_ROOT_OWNED" });
  });

  it("needs to be root", async () => {
    const program = await makeProgram([]);
    const file = join(program, "cli/dist/root/banger-root.mjs");
    const run = promisify(execFile)(process.execPath, [file], {
      cwd: "/",
      uid: owner,
      gid: owner,
    });
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"code":"ERR_NOT_ROOT"') as string,
    });
  });
});
