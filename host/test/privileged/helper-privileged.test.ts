import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, rename, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { OperationRegistry, type PrivilegedRequest } from "@banger/core";
import { memoryLogger } from "@banger/core/testing";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { z } from "zod";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { HelperPrivileged } from "../../src/privileged/helper-privileged.js";
import { InProcessPrivileged } from "../../src/privileged/in-process-privileged.js";
import {
  build,
  clientOf,
  echo,
  fail,
  foreignId,
  helperAt,
  isRoot,
  nothing,
  noWaits,
  requestLog,
  socketPlace,
  startHelper,
  waitRequest,
} from "./helper-bench.js";

const never = new AbortController().signal;

/** A helper that answers as it is told, and whatever it is asked. */
async function standIn(answer: string): Promise<string> {
  const path = await socketPlace();
  await mkdir(dirname(path), { mode: 0o711 });
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(answer));
  });
  onTestFinished(() => {
    server.close();
  });
  server.listen(path);
  await once(server, "listening");
  return path;
}

describe.runIf(isRoot)("a request to the helper", () => {
  it("gives what the request gives", async () => {
    const { socketPath } = await startHelper({ owner: 0 });
    const client = clientOf(socketPath);
    expect(client.kind).toBe("helper");
    const text = "ünïcødé \n \u2028 \0";
    expect(await client.request(echo, { text }, never)).toEqual({ text });
    await client.request(nothing, undefined, never);
  });

  it("throws what the request throws, as a root daemon's own does", async () => {
    const { socketPath } = await startHelper({ owner: 0 });
    const own = new InProcessPrivileged({
      install: {
        owner: { uid: 0, gid: 0 },
        stateDirectory: "/nonexistent/state",
        runDirectory: "/nonexistent/run",
        tag: "00c0ffee",
      },
      commands: new ExecaCommandRunner(),
      logger: memoryLogger(),
    });
    for (const privileged of [clientOf(socketPath), own]) {
      await expect(
        privileged.request(fail, { how: "known" }, never),
      ).rejects.toMatchObject({
        code: "ERR_INVALID_VALUE",
        kind: "usage",
        message: "there is no such thing",
        hint: "Name another",
      });
      await expect(
        privileged.request(echo, { text: 1 } as never, never),
      ).rejects.toMatchObject({ code: "ERR_PRIVILEGED_INPUT" });
    }
    await expect(
      clientOf(socketPath).request(fail, { how: "known" }, never),
    ).rejects.toMatchObject({ details: ["caused by: the reason"] });
  });

  it("names the operation that it is a part of", async () => {
    const bench = await startHelper({ owner: 0 });
    const client = clientOf(bench.socketPath);
    const operations = new OperationRegistry({ logger: memoryLogger() });
    const id = await operations.run("start web", {}, async (operation) => {
      await sleep(1);
      await client.request(echo, { text: "x" }, operation.signal);
      return operation.id;
    });
    await client.request(echo, { text: "x" }, never);
    expect(requestLog(bench).map(({ fields }) => fields["operation"])).toEqual([
      id,
      undefined,
    ]);
  });

  it("waits for its turn rather than being refused", async () => {
    const waits = noWaits();
    const request = waitRequest(waits);
    const { socketPath } = await startHelper({ owner: 0, requests: [request] });
    const client = clientOf(socketPath);
    await Promise.all(
      Array.from({ length: 200 }, () =>
        client.request(request, { ms: 1 }, never),
      ),
    );
    expect(waits).toMatchObject({ settled: 200, aborted: 0 });
    expect(waits.mostRunning).toBeLessThanOrEqual(8);
  });

  it("is ended by its caller, and has ended when the caller hears of it", async () => {
    const waits = noWaits();
    const request = waitRequest(waits, 500);
    const bench = await startHelper({ owner: 0, requests: [request] });
    const abort = new AbortController();
    const asked = clientOf(bench.socketPath).request(
      request,
      { ms: 20_000 },
      abort.signal,
    );
    const refused = expect(asked).rejects.toMatchObject({
      code: "ERR_CANCELLED",
      kind: "cancelled",
    });
    await vi.waitFor(() => expect(waits.running).toBe(1));
    abort.abort();
    await refused;
    expect(waits).toMatchObject({ running: 0, aborted: 1, settled: 1 });
    expect(requestLog(bench)).toMatchObject([
      { level: "info", message: "Request ended early" },
    ]);
  });

  it("is not made when its caller has left before, or leaves while it waits for its turn", async () => {
    const waits = noWaits();
    const request = waitRequest(waits);
    const bench = await startHelper({ owner: 0, requests: [request] });
    const client = clientOf(bench.socketPath);
    await expect(
      client.request(echo, { text: "x" }, AbortSignal.abort()),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    const running = Array.from({ length: 8 }, () =>
      client.request(request, { ms: 300 }, never),
    );
    const abort = new AbortController();
    const waiting = client.request(echo, { text: "x" }, abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    await Promise.all(running);
    expect(requestLog(bench)).toHaveLength(8);
  });

  it("is cut off when the helper is killed while it carries it out", async () => {
    const path = await socketPlace();
    await mkdir(dirname(path), { mode: 0o711 });
    const helper = `require("node:net").createServer((socket) => socket.on("data", () => console.log("asked"))).listen(process.argv[1], () => console.log("listening"))`;
    const child = spawn(process.execPath, ["-e", helper, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    const asked = clientOf(path).request(echo, { text: "x" }, never);
    const cut = expect(asked).rejects.toMatchObject({
      code: "ERR_PRIVILEGED_CUT_OFF",
      kind: "unavailable",
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await cut;
  });

  it("is cut off when the helper ends and does not wait", async () => {
    const waits = noWaits();
    const request = waitRequest(waits);
    const bench = await startHelper({ owner: 0, requests: [request] });
    const asked = clientOf(bench.socketPath).request(
      request,
      { ms: 20_000 },
      never,
    );
    const cut = expect(asked).rejects.toMatchObject({
      code: "ERR_PRIVILEGED_CUT_OFF",
    });
    await vi.waitFor(() => expect(waits.running).toBe(1));
    await bench.server.close(0);
    await cut;
  });

  it("is not sent when it is longer than the helper reads", async () => {
    const { socketPath } = await startHelper({ owner: 0 });
    await expect(
      clientOf(socketPath).request(echo, { text: "x".repeat(70_000) }, never),
    ).rejects.toMatchObject({ code: "ERR_PRIVILEGED_PROTOCOL" });
  });

  it.each([
    ["no JSON", "hello\n"],
    ["of no known shape", '{"ok":false}\n'],
    ["an error without a code of ours", '{"error":{"code":"x"}}\n'],
    ["not of the request's kind", '{"ok":true,"output":{"text":1}}\n'],
    ["two lines", '{"ok":true}\n{"ok":true}\n'],
    ["too long", `${JSON.stringify("x".repeat(2 ** 21))}\n`],
  ])("does not believe an answer that is %s", async (_, answer) => {
    const path = await standIn(answer);
    await expect(
      clientOf(path).request(echo, { text: "x" }, never),
    ).rejects.toMatchObject({ code: "ERR_PRIVILEGED_ANSWER" });
  });

  it("is cut off by half an answer", async () => {
    const path = await standIn('{"ok":true');
    await expect(
      clientOf(path).request(echo, { text: "x" }, never),
    ).rejects.toMatchObject({ code: "ERR_PRIVILEGED_CUT_OFF" });
  });
});

describe.runIf(isRoot)("a helper that is not there", () => {
  it("is waited for, as long as a restart takes", async () => {
    const path = await socketPlace();
    const asked = clientOf(path).request(echo, { text: "x" }, never);
    await sleep(700);
    await helperAt(path, { owner: 0 }).server.listen();
    expect(await asked).toEqual({ text: "x" });
  });

  it("is missing after that, with the step that brings it back", async () => {
    const path = await socketPlace();
    const missing = (service: "systemd" | "none", command: string) =>
      expect(
        clientOf(path, { service }).request(echo, { text: "x" }, never),
      ).rejects.toMatchObject({
        code: "ERR_PRIVILEGE_MISSING",
        kind: "unavailable",
        hint: expect.stringContaining(command) as string,
      });
    await Promise.all([
      missing("systemd", "sudo banger system restart"),
      missing("none", "sudo banger system run-helper"),
    ]);
  }, 15_000);

  it("is not waited for by a caller who leaves", async () => {
    const abort = new AbortController();
    const asked = clientOf(await socketPlace()).request(
      echo,
      { text: "x" },
      abort.signal,
    );
    setTimeout(() => {
      abort.abort();
    }, 150);
    await expect(asked).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});

describe.runIf(isRoot)("a socket that is not the helper's", () => {
  const others: readonly {
    what: string;
    spoil: (path: string) => Promise<unknown>;
    code: string;
  }[] = [
    {
      what: "somebody else's",
      spoil: (path) => chown(path, foreignId, foreignId),
      code: "ERR_PRIVILEGED_SOCKET",
    },
    {
      what: "behind a link",
      spoil: async (path) => {
        await rename(path, `${path}.real`);
        await symlink(`${path}.real`, path);
      },
      code: "ERR_PRIVILEGED_SOCKET",
    },
    {
      what: "in a directory of somebody else's",
      spoil: (path) => chown(dirname(path), foreignId, foreignId),
      code: "ERR_NOT_ROOT_OWNED",
    },
    {
      what: "in a directory that others may write",
      spoil: (path) => chmod(dirname(path), 0o733),
      code: "ERR_NOT_ROOT_OWNED",
    },
    {
      what: "in a directory behind a link",
      spoil: async (path) => {
        await rename(dirname(path), `${dirname(path)}-real`);
        await symlink(`${dirname(path)}-real`, dirname(path));
      },
      code: "ERR_NOT_ROOT_OWNED",
    },
  ];

  it.each(others)("is told nothing: $what", async ({ spoil, code }) => {
    const bench = await startHelper({ owner: 0 });
    const client = clientOf(bench.socketPath);
    expect(await client.problem()).toBeUndefined();
    await spoil(bench.socketPath);
    const before = requestLog(bench).length;
    await expect(
      client.request(echo, { text: "x" }, never),
    ).rejects.toMatchObject({ code });
    expect(await client.problem()).toMatchObject({ code });
    expect(requestLog(bench)).toHaveLength(before);
  });
});

describe.runIf(isRoot)("what is wrong with the helper", () => {
  it("is nothing when it answers, is it of another build or not; that is said once", async () => {
    const { socketPath } = await startHelper({ owner: 0 });
    const logger = memoryLogger();
    const client = new HelperPrivileged({
      ...{ socketPath, uid: 0, service: "systemd", logger },
      build: { ...build, build: "ba9876543210" },
    });
    expect(await client.problem()).toBeUndefined();
    expect(await client.problem()).toBeUndefined();
    expect(logger.entries).toMatchObject([{ level: "warn" }]);
  });

  it("is said at once when there is none", async () => {
    const client = clientOf(await socketPlace());
    expect(await client.problem()).toMatchObject({
      code: "ERR_PRIVILEGE_MISSING",
    });
  });

  it("is not that it has enough to do", async () => {
    const waits = noWaits();
    const request = waitRequest(waits);
    const { socketPath } = await startHelper({ owner: 0, requests: [request] });
    const client = clientOf(socketPath);
    const abort = new AbortController();
    const ended = Array.from({ length: 9 }, () =>
      client
        .request(request, { ms: 20_000 }, abort.signal)
        .catch(() => "ended"),
    );
    await vi.waitFor(() => expect(waits.running).toBe(8));
    expect(await client.problem()).toBeUndefined();
    abort.abort();
    expect(new Set(await Promise.all(ended))).toEqual(new Set(["ended"]));
  });

  it("is that it takes connections and says nothing", async () => {
    const path = await socketPlace();
    await mkdir(dirname(path), { mode: 0o711 });
    const silent = createServer().listen(path);
    onTestFinished(() => {
      silent.close();
    });
    await once(silent, "listening");
    expect(await clientOf(path).problem()).toMatchObject({
      code: "ERR_TIME_LIMIT",
    });
  });

  it("is its protocol when that is another one", async () => {
    const error = {
      code: "ERR_PRIVILEGED_VERSION",
      kind: "unavailable",
      message: "another",
    };
    const path = await standIn(`${JSON.stringify({ error })}\n`);
    expect(await clientOf(path).problem()).toMatchObject({
      code: "ERR_PRIVILEGED_VERSION",
    });
  });

  it("is the request when the helper has none of that name", async () => {
    const { socketPath } = await startHelper({ owner: 0 });
    const unknown: PrivilegedRequest<undefined, undefined> = {
      name: "nat.ensure-rules",
      input: z.undefined(),
      output: z.undefined(),
      timeoutMs: 1_000,
      run: async () => Promise.resolve(undefined),
    };
    await expect(
      clientOf(socketPath).request(unknown, undefined, never),
    ).rejects.toMatchObject({ code: "ERR_PRIVILEGED_UNKNOWN" });
  });
});
