import { readFile, stat, symlink, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { isAlive } from "../../src/vmm/process-identity.js";
import {
  beginLog,
  endVmm,
  lastLines,
  startVmm,
  waitForEnd,
} from "../../src/vmm/vmm-process.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const never = new AbortController().signal;

describe("startVmm", () => {
  it("appends its output to two files, and may have a umask of its own", async () => {
    const directory = await temporaryDirectory();
    const [stdout, stderr] = [`${directory}/out`, `${directory}/err`];
    await writeFile(stdout, "before\n");
    // Long enough to be seen.
    const script = `sleep 0.1; echo said; echo wrong >&2; echo > "$1/made"`;
    const umask = async (): Promise<string | undefined> =>
      /^Umask:.*$/m.exec(await readFile("/proc/self/status", "utf8"))?.[0];
    const before = await umask();
    const { identity } = await startVmm({
      program: "/bin/sh",
      args: ["-c", script, "a b", directory],
      stdout,
      stderr,
      umask: "077",
    });
    await waitForEnd(identity, never);
    expect(await readFile(stdout, "utf8")).toBe("before\nsaid\n");
    expect(await readFile(stderr, "utf8")).toBe("wrong\n");
    expect((await stat(`${directory}/made`)).mode & 0o777).toBe(0o600);
    expect(before).toBeDefined();
    expect(await umask()).toBe(before);
  });

  it("says why it cannot be executed", async () => {
    const log = `${await temporaryDirectory()}/log`;
    await expect(
      startVmm({
        program: "/nonexistent/vmm",
        args: [],
        stdout: log,
        stderr: log,
      }),
    ).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("starts what ends only when it is ended", async () => {
    const log = `${await temporaryDirectory()}/log`;
    const { identity } = await startVmm({
      program: "/bin/sleep",
      args: ["1000"],
      stdout: log,
      stderr: log,
    });
    expect(await isAlive(identity)).toBe(true);
    await endVmm(identity);
    expect(await isAlive(identity)).toBe(false);
    await endVmm(identity);
  });
});

describe("beginLog", () => {
  it("empties a file, and nothing that a link leads to", async () => {
    const directory = await temporaryDirectory();
    const log = `${directory}/log`;
    await beginLog(log);
    expect((await stat(log)).mode & 0o777).toBe(0o600);
    await writeFile(log, "before");
    await beginLog(log);
    expect(await readFile(log, "utf8")).toBe("");
    await writeFile(log, "keep");
    await symlink(log, `${directory}/link`);
    await expect(beginLog(`${directory}/link`)).rejects.toMatchObject({
      code: "ELOOP",
    });
    expect(await readFile(log, "utf8")).toBe("keep");
  });
});

describe("lastLines", () => {
  it("reads the end, without control characters and empty lines", async () => {
    const log = `${await temporaryDirectory()}/log`;
    expect(await lastLines(log, 3)).toEqual([]);
    await writeFile(log, `${"x\n".repeat(1e5)}\n\u001b[31mred\r\n  \nlast`);
    expect(await lastLines(log, 3)).toEqual(["x", "[31mred", "last"]);
  });
});
