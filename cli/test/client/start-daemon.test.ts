import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { resolvePaths } from "@banger/host/client";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  DaemonLauncher,
  daemonOutFile,
  type LauncherOptions,
} from "../../src/client/start-daemon.js";
import { temporaryDirectory } from "../temporary-directory.js";

async function launcher(script: string, options: LauncherOptions = {}) {
  const home = await temporaryDirectory();
  const paths = resolvePaths({ BANGER_HOME: home });
  await mkdir(paths.runDirectory, { recursive: true });
  const program = {
    args: ["-e", script],
    env: { ...process.env, BANGER_HOME: "wrong" },
  };
  return {
    paths,
    start: () => new DaemonLauncher(paths, program, options).start(),
  };
}

/** Answers with its process id; ends with status 0 when another one listens. */
const listening = `
  const server = require("node:net").createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(String(process.pid));
  });
  server.on("error", () => process.exit(0));
  server.listen(process.env.BANGER_HOME + "/run/bangerd.sock");
`;

async function askPid(socketPath: string): Promise<number> {
  let text = "";
  for await (const chunk of connect(socketPath) as AsyncIterable<Buffer>)
    text += chunk.toString();
  return Number(text);
}

describe("DaemonLauncher", () => {
  it("starts the program in the right home and waits for its socket", async () => {
    const { paths, start } = await launcher(listening);
    await start();
    const pid = await askPid(paths.daemonSocket);
    onTestFinished(() => void process.kill(pid));
    const { mode } = await stat(daemonOutFile(paths));
    expect(mode & 0o777).toBe(0o600);
  });

  it("says which file is where a directory should be", async () => {
    const home = `${await temporaryDirectory()}/home`;
    await writeFile(home, "");
    const paths = resolvePaths({ BANGER_HOME: home });
    const program = { args: ["-e", listening], env: process.env };
    await expect(
      new DaemonLauncher(paths, program).start(),
    ).rejects.toMatchObject({
      code: "ERR_DAEMON_START",
      message: expect.stringContaining(home) as string,
      hint: expect.stringContaining("ls -ld") as string,
    });
  });

  it("waits for the winner when several start at once", async () => {
    const { paths, start } = await launcher(listening);
    await Promise.all([start(), start(), start()]);
    const pid = await askPid(paths.daemonSocket);
    process.kill(pid);
  });

  it("starts the next one when the first found the lock of one that just ended", async () => {
    const { paths, start } = await launcher(`
      const fs = require("node:fs");
      const runs = process.env.BANGER_HOME + "/runs";
      fs.appendFileSync(runs, "x");
      if (fs.statSync(runs).size === 1) process.exit(0);
      ${listening}
    `);
    await start();
    process.kill(await askPid(paths.daemonSocket));
  });

  it("gives up when the lock stays held and nobody answers", async () => {
    const { start } = await launcher("process.exit(0)", { startLimitMs: 500 });
    await expect(start()).rejects.toMatchObject({ code: "ERR_DAEMON_START" });
  });

  it("shows the error that the daemon printed last", async () => {
    const report = {
      code: "ERR_CONFIG_SYNTAX",
      kind: "usage",
      message: "/x/config.toml:3: no value",
    };
    const { start } = await launcher(
      `console.error("stack"); console.error(${JSON.stringify(JSON.stringify(report))}); process.exit(1)`,
    );
    await expect(start()).rejects.toMatchObject({
      code: "ERR_CONFIG_SYNTAX",
      message: "/x/config.toml:3: no value",
    });
  });

  it("shows the last lines of one that died without an error, and nothing older", async () => {
    const { start } = await launcher(
      `console.error("boom " + process.pid); process.exit(9)`,
    );
    await expect(start()).rejects.toMatchObject({ code: "ERR_DAEMON_START" });
    const failure: unknown = await start().catch((error: unknown) => error);
    expect(failure).toMatchObject({
      message: expect.stringContaining("status 9") as unknown,
      details: [expect.stringMatching(/^boom \d+$/)],
    });
  });
});

describe("DaemonLauncher, the end of a daemon", () => {
  async function ending(options: LauncherOptions) {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 9e5)"]);
    onTestFinished(() => void child.kill("SIGKILL"));
    await once(child, "spawn");
    const paths = resolvePaths({ BANGER_HOME: await temporaryDirectory() });
    const program = { args: [], env: {} };
    const { pid = 0 } = child;
    return {
      child,
      pid,
      launcher: new DaemonLauncher(paths, program, options),
    };
  }

  it("is waited for, and a slow one is told once", async () => {
    const told: number[] = [];
    const { child, pid, launcher } = await ending({
      slowEndMs: 0,
      onSlowEnd: (slow) => {
        told.push(slow);
        setTimeout(() => child.kill("SIGKILL"), 100);
      },
    });
    await launcher.ended(pid);
    expect(told).toEqual([pid]);
    expect(child.killed).toBe(true);
  });

  it("that does not come is an error of its own", async () => {
    const { pid, launcher } = await ending({ endLimitMs: 100 });
    await expect(launcher.ended(pid)).rejects.toMatchObject({
      code: "ERR_DAEMON_STOP",
      message: expect.stringContaining(String(pid)) as unknown,
    });
  });

  it("is not waited for after an interruption", async () => {
    const { pid, launcher } = await ending({});
    const reason = new Error("ctrl-c");
    const waiting = launcher.ended(pid, AbortSignal.abort(reason));
    await expect(waiting).rejects.toBe(reason);
  });
});
