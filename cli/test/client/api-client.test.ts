import { describe, expect, it, vi } from "vitest";
import { ApiClient, type DaemonControl } from "../../src/client/api-client.js";
import { InstallOutdatedError } from "../../src/client/client-errors.js";
import { operation, refusal, startFakeDaemon } from "../fake-daemon.js";
import { temporaryDirectory } from "../temporary-directory.js";

const outdated = {
  code: "ERR_DAEMON_OUTDATED",
  kind: "conflict",
  message: "old",
};

function control(start: () => Promise<void> = () => Promise.resolve()) {
  return {
    start: vi.fn(start),
    ended: vi.fn(() => Promise.resolve()),
  } satisfies DaemonControl;
}

describe("ApiClient", () => {
  it("reads JSON and says which build it is", async () => {
    const home = await temporaryDirectory();
    const { socketPath, requests } = await startFakeDaemon(home, {
      "GET /v1/vms": [1, 2],
    });
    const client = new ApiClient({ socketPath, build: "b1" });
    expect(await client.read("/v1/vms")).toEqual([1, 2]);
    expect(requests[0]?.headers["banger-build"]).toBe("b1");
  });

  it("throws what the daemon reports", async () => {
    const home = await temporaryDirectory();
    const report = {
      code: "ERR_VM_NOT_FOUND",
      kind: "not-found",
      message: "no VM",
      hint: "look",
      details: ["a"],
    };
    const { socketPath } = await startFakeDaemon(home, {
      "GET /v1/vms/x": refusal(404, report),
    });
    const client = new ApiClient({ socketPath });
    await expect(client.read("/v1/vms/x")).rejects.toMatchObject({
      code: "ERR_VM_NOT_FOUND",
      kind: "not-found",
      hint: "look",
      details: ["a"],
    });
  });

  it("calls an answer without a report unexpected", async () => {
    const home = await temporaryDirectory();
    const { socketPath } = await startFakeDaemon(home, {
      "GET /v1/a": refusal(500, { nothing: true }),
      "GET /v1/b": (_: unknown, response: { end(text: string): void }) => {
        response.end("<html>");
      },
    });
    const client = new ApiClient({ socketPath });
    const unexpected = { code: "ERR_UNEXPECTED_ANSWER" };
    await expect(client.read("/v1/a")).rejects.toMatchObject(unexpected);
    await expect(client.read("/v1/b")).rejects.toMatchObject(unexpected);
  });

  it("runs an operation: progress, then the result", async () => {
    const home = await temporaryDirectory();
    const { socketPath, requests } = await startFakeDaemon(home, {
      "POST /v1/vms": operation(
        { type: "begin", operationId: "op-1" },
        { type: "progress", stage: "boot", text: "t", elapsedMs: 1 },
        { type: "result", value: { id: "v" }, elapsedMs: 12 },
      ),
    });
    const seen: string[] = [];
    const result = await new ApiClient({ socketPath }).operation(
      "POST",
      "/v1/vms",
      { body: { name: "x" }, onEvent: ({ type }) => seen.push(type) },
    );
    expect(result).toEqual({ value: { id: "v" }, elapsedMs: 12 });
    expect(seen).toEqual(["begin", "progress", "result"]);
    expect(requests[0]?.body).toEqual({ name: "x" });
  });

  it("throws an operation's error with its id", async () => {
    const home = await temporaryDirectory();
    const { socketPath } = await startFakeDaemon(home, {
      "DELETE /v1/vms/x": operation({
        type: "error",
        error: {
          code: "ERR_X",
          kind: "failed",
          message: "m",
          operationId: "op-7",
        },
      }),
    });
    await expect(
      new ApiClient({ socketPath }).operation("DELETE", "/v1/vms/x"),
    ).rejects.toMatchObject({ code: "ERR_X", report: { operationId: "op-7" } });
  });

  it("notices a stream that ends before its result", async () => {
    const home = await temporaryDirectory();
    const { socketPath } = await startFakeDaemon(home, {
      "POST /v1/vms": operation({ type: "begin", operationId: "op-1" }),
      "POST /v1/cut": (
        _: unknown,
        response: { write(text: string): void; destroy(): void },
      ) => {
        response.write('{"type":"begin","operationId":"op-2"}\n');
        setImmediate(() => response.destroy());
      },
    });
    const client = new ApiClient({ socketPath });
    const gone = { code: "ERR_DAEMON_GONE" };
    await expect(client.operation("POST", "/v1/vms")).rejects.toMatchObject(
      gone,
    );
    await expect(client.operation("POST", "/v1/cut")).rejects.toMatchObject(
      gone,
    );
  });

  it("starts a daemon that does not run, once", async () => {
    const home = await temporaryDirectory();
    const socketPath = `${home}/run/bangerd.sock`;
    const starter = control(async () => {
      await startFakeDaemon(home, { "GET /v1/vms": [] });
    });
    const client = new ApiClient({ socketPath, control: starter });
    expect(await client.read("/v1/vms")).toEqual([]);
    expect(starter.start).toHaveBeenCalledOnce();
  });

  it("starts none without control", async () => {
    const home = await temporaryDirectory();
    const client = new ApiClient({ socketPath: `${home}/none.sock` });
    await expect(client.read("/v1/vms")).rejects.toMatchObject({
      code: "ERR_DAEMON_UNREACHABLE",
    });
  });

  it("replaces an idle daemon of another build, once", async () => {
    const home = await temporaryDirectory();
    let old = true;
    const { socketPath } = await startFakeDaemon(home, {
      "GET /v1/vms": (
        _: unknown,
        response: { statusCode: number; end(text: string): void },
      ) => {
        if (old) response.statusCode = 409;
        response.end(JSON.stringify(old ? outdated : ["new"]));
      },
      "POST /v1/daemon/stop": { pid: 4242 },
    });
    const starter = control(() => {
      old = false;
      return Promise.resolve();
    });
    const client = new ApiClient({ socketPath, control: starter });
    expect(await client.read("/v1/vms")).toEqual(["new"]);
    expect(starter.ended).toHaveBeenCalledWith(4242, undefined);

    old = true;
    const futile = control();
    await expect(
      new ApiClient({ socketPath, control: futile }).read("/v1/vms"),
    ).rejects.toMatchObject({ code: "ERR_DAEMON_OUTDATED" });
    expect(futile.start).toHaveBeenCalledOnce();
  });

  it("replaces it for an upgrade too, and asks again, once", async () => {
    const home = await temporaryDirectory();
    let old = true;
    const builds: unknown[] = [];
    const { socketPath, requests } = await startFakeDaemon(
      home,
      { "POST /v1/daemon/stop": { pid: 4242 } },
      undefined,
      ({ headers }) => {
        builds.push(headers["banger-build"]);
        return old ? outdated : undefined;
      },
    );
    const abort = new AbortController();
    const upgrade = async (starter: DaemonControl): Promise<void> => {
      const client = new ApiClient({
        socketPath,
        build: "b1",
        control: starter,
      });
      const path = "/v1/vms/web/exec";
      const { signal } = abort;
      const { socket } = await client.upgrade(path, "banger-stream-v1", signal);
      socket.destroy();
    };
    const starter = control(() => {
      old = false;
      return Promise.resolve();
    });
    await upgrade(starter);
    expect(builds).toEqual(["b1", "b1"]);
    expect(requests.map(({ url }) => url)).toEqual(["/v1/daemon/stop"]);
    // With the signal: an interruption must end the wait.
    expect(starter.ended).toHaveBeenCalledWith(4242, abort.signal);

    old = true;
    const futile = control();
    await expect(upgrade(futile)).rejects.toMatchObject({
      code: "ERR_DAEMON_OUTDATED",
    });
    expect(futile.start).toHaveBeenCalledOnce();
  });

  it("leaves a daemon that is not its own to replace", async () => {
    const home = await temporaryDirectory();
    const { socketPath, requests } = await startFakeDaemon(home, {
      "GET /v1/vms": refusal(409, outdated),
    });
    const mine = control();
    const client = new ApiClient({
      ...{ socketPath, build: "b1", control: mine },
      outdated: new InstallOutdatedError("b0", "b1"),
    });
    await expect(client.read("/v1/vms")).rejects.toMatchObject({
      code: "ERR_INSTALL_OUTDATED",
    });
    expect(requests).toHaveLength(1);
    expect(mine.start).not.toHaveBeenCalled();
  });
});
