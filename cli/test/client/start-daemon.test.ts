import { mkdir, readFile, stat } from "node:fs/promises";
import { resolvePaths } from "@banger/host/client";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  DaemonLauncher,
  daemonOutFile,
} from "../../src/client/start-daemon.js";
import { temporaryDirectory } from "../temporary-directory.js";

async function launcher(script: string) {
  const home = await temporaryDirectory();
  const paths = resolvePaths({ BANGER_HOME: home });
  await mkdir(paths.runDirectory, { recursive: true });
  const program = {
    args: ["-e", script],
    env: { ...process.env, BANGER_HOME: "wrong", PID_FILE: `${home}/pid` },
  };
  return {
    home,
    paths,
    start: () => new DaemonLauncher(paths, program).start(),
  };
}

const listening = `
  const path = process.env.BANGER_HOME + "/run/bangerd.sock";
  const server = require("node:net").createServer((s) => s.end());
  server.on("error", () => process.exit(0));
  server.listen(path, () => require("node:fs").writeFileSync(process.env.PID_FILE, String(process.pid)));
`;

describe("DaemonLauncher", () => {
  it("starts the program in the right home and waits for its socket", async () => {
    const { home, paths, start } = await launcher(listening);
    await start();
    const pid = Number(await readFile(`${home}/pid`, "utf8"));
    onTestFinished(() => void process.kill(pid));
    const { mode } = await stat(daemonOutFile(paths));
    expect(mode & 0o777).toBe(0o600);
  });

  it("waits for the winner when several start at once", async () => {
    const { home, start } = await launcher(listening);
    await Promise.all([start(), start(), start()]);
    const pid = Number(await readFile(`${home}/pid`, "utf8"));
    process.kill(pid);
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
