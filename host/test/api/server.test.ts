import { mkdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { OperationContext } from "@banger/core";
import { VmNotFoundError } from "@banger/core";
import { fakeVm } from "@banger/core/testing";
import { describe, expect, it, vi } from "vitest";
import { readRoute } from "../../src/api/route.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import {
  ask,
  open,
  startServer,
  StreamClient,
  type Bench,
} from "./api-bench.js";

const events = (text: string): Record<string, unknown>[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("the socket", () => {
  it("is made without changing what files others get", async () => {
    const umask = vi.spyOn(process, "umask");
    try {
      await startServer();
      expect(umask).not.toHaveBeenCalled();
    } finally {
      umask.mockRestore();
    }
  });

  it("is open to its owner alone, and replaces one that a killed daemon left", async () => {
    const { socketPath, server } = await startServer();
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
    await server.close();
    await expect(stat(socketPath)).rejects.toMatchObject({ code: "ENOENT" });
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen(socketPath, resolve));
    stale.close();
    await writeFile(socketPath, "").catch(() => undefined);
    expect((await ask(await startServer(), "GET", "/v1/vms")).status).toBe(200);
  });
});

describe("reading", () => {
  it("answers with JSON and tells its build", async () => {
    const bench = await startServer();
    const { status, text, headers } = await ask(bench, "GET", "/v1/vms");
    expect(status).toBe(200);
    expect(JSON.parse(text)).toEqual([fakeVm({ state: "running" })]);
    expect(headers["banger-build"]).toBe("build-a");
  });

  it("reports a missing thing as 404, and a bug as 500 without its stack", async () => {
    const lost = await startServer({
      get: () => Promise.reject(new VmNotFoundError("x", ["calm-otter"])),
    });
    const missing = await ask(lost, "GET", "/v1/vms/x");
    expect(missing.status).toBe(404);
    expect(JSON.parse(missing.text)).toMatchObject({
      code: "ERR_VM_NOT_FOUND",
    });
    const broken = await startServer({
      list: () => Promise.reject(new TypeError("x is undefined")),
    });
    const bug = await ask(broken, "GET", "/v1/vms");
    expect(bug.status).toBe(500);
    expect(JSON.parse(bug.text)).toMatchObject({ code: "ERR_INTERNAL" });
    expect(bug.text).not.toContain(".ts:");
    expect(broken.logger.entries).toContainEqual(
      expect.objectContaining({ level: "error", message: "Request failed" }),
    );
  });

  it("names what it does not have", async () => {
    const bench = await startServer();
    const { status, text } = await ask(bench, "GET", "/v1/nothing");
    expect(status).toBe(404);
    expect(JSON.parse(text)).toMatchObject({ code: "ERR_ROUTE_NOT_FOUND" });
  });
});

describe("bodies", () => {
  it.each([
    ["an unknown field", '{"vcpu": 2}', /vcpus/],
    ["a wrong type", '{"vcpus": "two"}', /vcpus/],
    ["no JSON", "{", /./],
    ["no object", "[]", /./],
    ["too much", `{"name": "${"x".repeat(1024 * 1024)}"}`, /large/],
  ])("refuses %s", async (_what, body, pattern) => {
    let isCreated = false;
    const bench = await startServer({
      launch: () => {
        isCreated = true;
        return Promise.resolve(fakeVm());
      },
    });
    const { status, text } = await ask(bench, "POST", "/v1/vms", body);
    expect(status).toBe(400);
    const report = JSON.parse(text) as Record<string, string>;
    expect(report).toMatchObject({ code: "ERR_INVALID_VALUE", kind: "usage" });
    expect(`${report["message"] ?? ""} ${report["hint"] ?? ""}`).toMatch(
      pattern,
    );
    expect(isCreated).toBe(false);
  });

  it("takes the defaults when there is no body at all", async () => {
    const options: unknown[] = [];
    const bench = await startServer({
      stop: (_vm, given) => {
        options.push(given);
        return Promise.resolve(fakeVm());
      },
    });
    const { status } = await ask(bench, "POST", "/v1/vms/a/stop");
    expect(status).toBe(200);
    expect(options).toEqual([{ force: false }]);
  });

  it("turns sizes into units and begins the wait for a session", async () => {
    const requests: unknown[] = [];
    const vm = fakeVm();
    const bench = await startServer({
      launch: (request) => {
        requests.push(request);
        return Promise.resolve(vm);
      },
    });
    await ask(
      bench,
      "POST",
      "/v1/vms",
      '{"name": "a", "memory": "2G", "diskSize": "512"}',
    );
    expect(requests).toEqual([
      { name: "a", memoryMiB: 2048, diskSizeBytes: 512 * 2 ** 20 },
    ]);
    expect(bench.launched).toEqual([vm]);
  });
});

describe("VM routes", () => {
  it("restart begins the wait for a session, like a start", async () => {
    const vm = fakeVm({ name: "again" });
    const asked: string[] = [];
    const bench = await startServer({
      restart: (reference) => {
        asked.push(reference);
        return Promise.resolve(vm);
      },
    });
    const { text } = await ask(bench, "POST", "/v1/vms/again/restart");
    expect(events(text).at(-1)).toMatchObject({ value: { name: "again" } });
    expect(asked).toEqual(["again"]);
    expect(bench.launched).toEqual([vm]);
  });

  it.each([
    [undefined, "KILL"],
    ['{"signal": "TERM"}', "TERM"],
  ])("kill with body %s sends %s", async (body, expected) => {
    const sent: string[] = [];
    const bench = await startServer({
      kill: (_vm, signal) => {
        sent.push(signal);
        return Promise.resolve(fakeVm());
      },
    });
    const answer = await ask(bench, "POST", "/v1/vms/a/kill", body);
    expect(answer.status).toBe(200);
    expect(sent).toEqual([expected]);
  });

  it("touch answers at once with the record", async () => {
    const bench = await startServer({
      touch: (reference) => Promise.resolve(fakeVm({ name: reference })),
    });
    const { status, text } = await ask(bench, "POST", "/v1/vms/web/touch");
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ name: "web" });
  });

  it("prune hands over the ids and answers with the deleted", async () => {
    const given: unknown[] = [];
    const gone = fakeVm({ state: "stopped" });
    const bench = await startServer({
      prune: (ids) => {
        given.push(ids);
        return Promise.resolve([gone]);
      },
    });
    const ids = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"];
    const body = JSON.stringify({ ids });
    const { text } = await ask(bench, "POST", "/v1/vms/prune", body);
    expect(events(text).at(-1)).toMatchObject({ value: [{ id: gone.id }] });
    expect(given).toEqual([ids]);
  });

  it("PATCH renames", async () => {
    const changes: unknown[] = [];
    const bench = await startServer({
      reconfigure: (_vm, change) => {
        changes.push(change);
        return Promise.resolve(fakeVm());
      },
    });
    await ask(bench, "PATCH", "/v1/vms/a", '{"name": "b"}');
    expect(changes).toEqual([{ name: "b" }]);
  });
});

describe("a full disk", () => {
  it("is no bug, wherever it is met", async () => {
    const full = Object.assign(new Error("write"), { code: "ENOSPC" });
    const bench = await startServer({
      list: () => Promise.reject(full),
      start: () => Promise.reject(full),
    });
    const { status, text } = await ask(bench, "GET", "/v1/vms");
    expect(status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ code: "ERR_DISK_FULL" });
    const operation = await ask(bench, "POST", "/v1/vms/a/start");
    expect(events(operation.text).at(-1)).toMatchObject({
      type: "error",
      error: { code: "ERR_DISK_FULL" },
    });
  });
});

describe("operations", () => {
  it("stream begin, progress and result in this order", async () => {
    const bench = await startServer({
      start: (_vm, operation) => {
        operation.progress("boot", "waiting");
        return Promise.resolve(fakeVm({ name: "done" }));
      },
    });
    const { text, headers } = await ask(bench, "POST", "/v1/vms/a/start");
    expect(headers["content-type"]).toBe("application/x-ndjson");
    expect(events(text)).toMatchObject([
      { type: "begin", operationId: expect.stringMatching(/^op-/) as string },
      { type: "progress", stage: "boot", text: "waiting" },
      { type: "result", value: { name: "done" } },
    ]);
    expect(bench.activity.isIdle).toBe(true);
  });

  it("end with an error that names the operation", async () => {
    const bench = await startServer({
      start: () => Promise.reject(new VmNotFoundError("a", [])),
    });
    const { text } = await ask(bench, "POST", "/v1/vms/a/start");
    const [begin, error] = events(text);
    expect(error).toMatchObject({
      type: "error",
      error: {
        code: "ERR_VM_NOT_FOUND",
        operationId: begin?.["operationId"],
      },
    });
  });

  it("are cancelled when the client leaves", async () => {
    const cancelled = new Promise<void>((resolve, reject) => {
      const bench = startServer({
        start: (_vm, { signal }: OperationContext) =>
          new Promise((_, fail) => {
            signal.addEventListener("abort", () => {
              resolve();
              fail(new Error("cancelled"));
            });
          }),
      });
      bench
        .then((running) => open(running, "POST", "/v1/vms/a/start"))
        .then((response) => response.destroy())
        .catch(reject);
    });
    await cancelled;
  });

  it("cost a client that does not read its progress, not the daemon its memory", async () => {
    const bench = await startServer({
      start: async (_vm, operation) => {
        for (let round = 0; round < 20_000; round++) {
          operation.progress("packages", "x".repeat(1000));
          if (round % 1000 === 0) await sleep(1);
        }
        return fakeVm({ name: "done" });
      },
    });
    const response = await open(bench, "POST", "/v1/vms/a/start");
    response.pause();
    while (!bench.activity.isIdle) await sleep(5);
    let text = "";
    for await (const chunk of response) text += String(chunk);
    expect(text.length).toBeLessThan(4 * 2 ** 20);
    expect(events(text).at(-1)).toMatchObject({ type: "result" });
  });
});

describe("another build's client", () => {
  const headers = { "banger-build": "build-b" };

  /** Something is under way until the answer is called. */
  function busyWith({ operations }: Bench): () => Promise<void> {
    let end = (): void => undefined;
    const work = new Promise<void>((resolve) => (end = resolve));
    const result = operations.run("x", {}, () => work);
    return () => {
      end();
      return result;
    };
  }

  it("is told the same of its own build when the configuration has changed", async () => {
    const bench = await startServer();
    const own = { "banger-build": "build-a" };
    const status = async (): Promise<number> =>
      (await ask(bench, "GET", "/v1/vms", undefined, own)).status;
    expect(await status()).toBe(200);
    bench.config.changed = true;
    expect(await status()).toBe(409);
    const ended = busyWith(bench);
    expect(await status()).toBe(200);
    await ended();
  });

  it("is told to replace the daemon, but only while nothing is under way", async () => {
    const bench = await startServer();
    const refused = await ask(bench, "GET", "/v1/vms", undefined, headers);
    expect(refused.status).toBe(409);
    expect(JSON.parse(refused.text)).toMatchObject({
      code: "ERR_DAEMON_OUTDATED",
    });
    const ended = busyWith(bench);
    expect(
      (await ask(bench, "GET", "/v1/vms", undefined, headers)).status,
    ).toBe(200);
    await ended();
    expect(
      (await ask(bench, "GET", "/v1/vms", undefined, headers)).status,
    ).toBe(409);
    const same = { "banger-build": "build-a" };
    expect((await ask(bench, "GET", "/v1/vms", undefined, same)).status).toBe(
      200,
    );
  });

  it("is told so for a stream as well", async () => {
    const bench = await startServer();
    const outdated = StreamClient.open(bench, { build: "build-b" });
    await expect(outdated).rejects.toThrow(/^HTTP\/1\.1 409 /);
    const ended = busyWith(bench);
    const busy = await StreamClient.open(bench, { build: "build-b" });
    busy.socket.destroy();
    await ended();
    const same = await StreamClient.open(bench, { build: "build-a" });
    same.socket.destroy();
  });

  it("may always stop the daemon", async () => {
    const stop = readRoute({
      method: "POST",
      path: "/v1/daemon/stop",
      summary: "stop",
      handle: () => Promise.resolve({ pid: 1 }),
    });
    const bench = await startServer({}, [stop]);
    const { status } = await ask(
      bench,
      "POST",
      "/v1/daemon/stop",
      undefined,
      headers,
    );
    expect(status).toBe(200);
  });
});

describe("logs", () => {
  it("stream the console, and end when the server closes", async () => {
    const directory = `${await temporaryDirectory()}/vm`;
    await mkdir(directory);
    await writeFile(`${directory}/console.log`, "one\ntwo\n");
    const vm = fakeVm({ runtime: { directory } });
    const bench = await startServer({}, [], vm);
    const once = await ask(bench, "GET", "/v1/vms/a/logs?lines=1");
    expect([once.status, once.text]).toEqual([200, "two\n"]);
    expect((await ask(bench, "GET", "/v1/vms/a/logs?lines=0")).status).toBe(
      400,
    );
    const following = await open(bench, "GET", "/v1/vms/a/logs?follow=true");
    const chunks = following[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    expect(String((await chunks.next()).value)).toBe("one\ntwo\n");
    await bench.server.close();
    await chunks.next().catch(() => undefined);
  });
});
