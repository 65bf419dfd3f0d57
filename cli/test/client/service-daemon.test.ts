import { createServer } from "node:net";
import { dirname } from "node:path";
import { mkdir } from "node:fs/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { resolvePaths } from "@banger/host/client";
import { ServiceDaemon } from "../../src/client/service-daemon.js";
import { temporaryDirectory } from "../temporary-directory.js";

describe("a daemon that systemd keeps", () => {
  it("is waited for until it listens again", async () => {
    const paths = resolvePaths({ BANGER_HOME: await temporaryDirectory() });
    await mkdir(dirname(paths.daemonSocket), { recursive: true });
    const server = createServer();
    onTestFinished(() => {
      server.close();
    });
    const started = new ServiceDaemon(paths, { startLimitMs: 10_000 }).start();
    server.listen(paths.daemonSocket);
    await expect(started).resolves.toBeUndefined();
  });

  it("is not started when it does not: that is root's to do", async () => {
    const paths = resolvePaths({ BANGER_HOME: await temporaryDirectory() });
    const daemon = new ServiceDaemon(paths, { startLimitMs: 50 });
    await expect(daemon.start()).rejects.toMatchObject({
      code: "ERR_DAEMON_SERVICE",
      hint: expect.stringContaining("sudo banger system restart") as string,
    });
  });

  it("is waited for no longer than the user wants", async () => {
    const paths = resolvePaths({ BANGER_HOME: await temporaryDirectory() });
    const reason = new Error("enough");
    const daemon = new ServiceDaemon(paths, { startLimitMs: 10_000 });
    await expect(daemon.start(AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
