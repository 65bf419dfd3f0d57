import type { ServerResponse } from "node:http";
import { describe, expect, it, vi } from "vitest";
import { ApiClient } from "../../src/client/api-client.js";
import { Interruption } from "../../src/io.js";
import { refusal, startFakeDaemon, type FakeRequest } from "../fake-daemon.js";
import { temporaryDirectory } from "../temporary-directory.js";

const reason = new Interruption("SIGINT", 130);
const begin = '{"type":"begin","operationId":"op-2"}\n';
const cancelled =
  '{"type":"error","error":{"code":"ERR_CANCELLED","kind":"cancelled","message":"m"}}\n';
const done = '{"type":"result","value":{},"elapsedMs":1}\n';
const cancelRoute = "DELETE /v1/operations/op-2";
const longMs = 60_000;

/** An operation that begins and then does what the test says; its client is interrupted once it has begun. */
async function bench(
  onCancel: (stream: ServerResponse, answer: ServerResponse) => void,
  {
    limitMs = longMs,
    method = "POST",
    why = reason,
  }: { limitMs?: number; method?: "POST" | "GET"; why?: Interruption } = {},
) {
  const home = await temporaryDirectory();
  const abort = new AbortController();
  let onClosed: (byDaemon: boolean) => void = () => undefined;
  const endedByDaemon = new Promise<boolean>((resolve) => {
    onClosed = resolve;
  });
  let stream: ServerResponse | undefined;
  const { socketPath, requests } = await startFakeDaemon(home, {
    [`${method} /v1/vms`]: (_: FakeRequest, response: ServerResponse) => {
      stream = response;
      response.on("close", () => {
        onClosed(response.writableFinished);
      });
      response.write(begin);
    },
    [cancelRoute]: (_: FakeRequest, answer: ServerResponse) => {
      if (stream) onCancel(stream, answer);
    },
  });
  const onCancelAsked = vi.fn();
  const client = new ApiClient({ socketPath, cleanUpLimitMs: limitMs });
  const running = client.operation(method, "/v1/vms", {
    signal: abort.signal,
    onCancel: onCancelAsked,
    onEvent: ({ type }) => {
      if (type === "begin") abort.abort(why);
    },
  });
  running.catch(() => undefined);
  return {
    running,
    onCancelAsked,
    /** did the daemon end the stream, rather than the client? */
    endedByDaemon,
    asked: () => requests.map(({ method, url }) => `${method} ${url}`),
  };
}

describe("an interruption of an operation", () => {
  it.each([
    ["its error", cancelled],
    ["a result that came all the same", done],
    ["nothing more", ""],
  ])("waits for %s, and throws its reason", async (_what, last) => {
    const order: string[] = [];
    const { running, asked, endedByDaemon, onCancelAsked } = await bench(
      (stream, answer) => {
        answer.end("{}");
        answer.on("close", () => {
          stream.write(
            '{"type":"progress","stage":"s","text":"t","elapsedMs":1}\n',
          );
          order.push("cleaned up");
          stream.end(last);
        });
      },
    );
    await expect(running).rejects.toBe(reason);
    order.push("left");
    expect(order).toEqual(["cleaned up", "left"]);
    expect(await endedByDaemon).toBe(true);
    expect(asked()).toEqual(["POST /v1/vms", cancelRoute]);
    expect(onCancelAsked).toHaveBeenCalledOnce();
  });

  it("waits no longer than its bound", async () => {
    const { running, endedByDaemon } = await bench(
      (_stream, answer) => {
        answer.end("{}");
      },
      { limitMs: 50 },
    );
    await expect(running).rejects.toBe(reason);
    expect(await endedByDaemon).toBe(false);
  });

  it("waits no longer than its bound for the answer to the cancellation either", async () => {
    const { running, endedByDaemon } = await bench(() => undefined, {
      limitMs: 50,
    });
    await expect(running).rejects.toBe(reason);
    expect(await endedByDaemon).toBe(false);
  });

  it.each<[string, (answer: ServerResponse) => void]>([
    [
      "is refused",
      (answer) => {
        const report = { code: "ERR_X", kind: "failed", message: "m" };
        const request = { method: "", url: "", headers: {}, body: undefined };
        void refusal(500, report)(request, answer);
      },
    ],
    ["fails", (answer) => answer.destroy()],
  ])("leaves at once when the cancellation %s", async (_what, end) => {
    const { running, endedByDaemon } = await bench((_stream, answer) => {
      end(answer);
    });
    await expect(running).rejects.toBe(reason);
    expect(await endedByDaemon).toBe(false);
  });

  it("leaves at once when the daemon goes meanwhile", async () => {
    const { running } = await bench((stream, answer) => {
      answer.end("{}");
      stream.destroy();
    });
    await expect(running).rejects.toBe(reason);
  });

  it("leaves at once when nobody is there to wait", async () => {
    const why = new Interruption("SIGHUP", 129);
    const { running, endedByDaemon, asked, onCancelAsked } = await bench(
      () => undefined,
      { why },
    );
    await expect(running).rejects.toBe(why);
    expect(await endedByDaemon).toBe(false);
    expect(asked()).toEqual(["POST /v1/vms"]);
    expect(onCancelAsked).not.toHaveBeenCalled();
  });

  it("leaves at once, and cancels nothing, when it only follows", async () => {
    const { running, endedByDaemon, asked } = await bench(() => undefined, {
      method: "GET",
    });
    await expect(running).rejects.toBe(reason);
    expect(await endedByDaemon).toBe(false);
    expect(asked()).toEqual(["GET /v1/vms"]);
  });

  it("leaves at once before the operation has an id", async () => {
    const home = await temporaryDirectory();
    const abort = new AbortController();
    const { socketPath, requests } = await startFakeDaemon(home, {
      "POST /v1/vms": (_: FakeRequest, response: ServerResponse) => {
        response.flushHeaders();
        abort.abort(reason);
      },
    });
    const running = new ApiClient({ socketPath }).operation("POST", "/v1/vms", {
      signal: abort.signal,
    });
    await expect(running).rejects.toBe(reason);
    expect(requests).toHaveLength(1);
  });
});
