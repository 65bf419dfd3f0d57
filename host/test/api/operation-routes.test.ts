import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import {
  VmNotFoundError,
  type OperationContext,
  type OperationRecord,
} from "@banger/core";
import { fakeVm } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { ask, open, startServer, type Bench } from "./api-bench.js";

type Event = Record<string, unknown>;

const parse = (text: string): Event[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Event);

async function all(response: IncomingMessage): Promise<Event[]> {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return parse(text);
}

/** A server whose starts say one stage and run until they are aborted, or until `finish` is called. */
async function startingServer() {
  let operation: OperationContext | undefined;
  let finish = (): void => undefined;
  const bench = await startServer({
    start: (_vm, given) => {
      operation = given;
      given.progress("boot", "waiting");
      return new Promise((resolve, reject) => {
        finish = () => {
          resolve(fakeVm({ name: "calm-otter" }));
        };
        given.signal.addEventListener("abort", () => {
          reject(given.signal.reason as Error);
        });
      });
    },
  });
  const response = await open(bench, "POST", "/v1/vms/calm-otter/start");
  while (!operation) await sleep(1);
  return {
    ...{ bench, response, operation, id: operation.id },
    finish: () => {
      finish();
    },
  };
}

async function ended(bench: Bench, id: string): Promise<OperationRecord> {
  while (bench.operations.get(id).state === "running") await sleep(1);
  return bench.operations.get(id);
}

describe("every operation of the API", () => {
  it("is listed under the VM's name, however the client named it", async () => {
    const { bench, response, id, finish } = await startingServer();
    const { status, text } = await ask(bench, "GET", "/v1/operations");
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject([
      {
        ...{ id, what: `start ${fakeVm().name}`, vm: "calm-otter" },
        ...{ state: "running", stage: "boot", text: "waiting" },
      },
    ]);
    finish();
    await all(response);
    const one = await ask(bench, "GET", `/v1/operations/${id.slice(0, -1)}`);
    expect(JSON.parse(one.text)).toMatchObject({ id, state: "done" });
  });

  it("is listed also when there is no such VM", async () => {
    const lost = () => Promise.reject(new VmNotFoundError("web", []));
    const bench = await startServer({ get: lost, stop: lost });
    await ask(bench, "POST", "/v1/vms/web/stop");
    expect(bench.operations.list()).toMatchObject([
      {
        ...{ what: "stop web", state: "failed" },
        error: { code: "ERR_VM_NOT_FOUND" },
      },
    ]);
  });

  it("is cancelled when its client leaves", async () => {
    const { bench, response, id } = await startingServer();
    response.destroy();
    expect(await ended(bench, id)).toMatchObject({
      state: "cancelled",
      error: { details: ["caused by: the client left"] },
    });
  });

  it("can be cancelled by another client, and the first one hears it", async () => {
    const { bench, response, id } = await startingServer();
    const { status, text } = await ask(
      bench,
      "DELETE",
      `/v1/operations/${id.slice(0, -1)}`,
    );
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ id, isEnding: true });
    expect((await all(response)).at(-1)).toMatchObject({
      type: "error",
      error: {
        ...{ code: "ERR_CANCELLED", kind: "cancelled", operationId: id },
        details: ["caused by: another client cancelled it"],
      },
    });
    const again = await ask(bench, "DELETE", `/v1/operations/${id}`);
    expect(again.status).toBe(409);
    expect(JSON.parse(again.text)).toMatchObject({
      code: "ERR_OPERATION_ENDED",
    });
  });

  it.each([
    ["GET", ""],
    ["GET", "/events"],
    ["DELETE", ""],
  ])("%s of an unknown one%s is refused", async (method, rest) => {
    const bench = await startServer();
    const { status, text } = await ask(
      bench,
      method,
      `/v1/operations/op-1${rest}`,
    );
    expect(status).toBe(404);
    expect(JSON.parse(text)).toMatchObject({ code: "ERR_OPERATION_NOT_FOUND" });
  });
});

describe("following", () => {
  it("tells the stages so far, what comes, and the end", async () => {
    const { bench, operation, id, finish } = await startingServer();
    const follower = await open(bench, "GET", `/v1/operations/${id}/events`);
    expect(follower.headers["content-type"]).toBe("application/x-ndjson");
    const chunks = follower[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    let text = "";
    while (!text.includes("waiting"))
      text += String((await chunks.next()).value);
    operation.progress("publish", "announcing");
    finish();
    for (let next = await chunks.next(); !next.done; next = await chunks.next())
      text += String(next.value);
    const expected = [
      { type: "begin", operationId: id },
      { type: "progress", stage: "boot", text: "waiting" },
      { type: "progress", stage: "publish", text: "announcing" },
      { type: "result", value: { id, state: "done" } },
    ];
    expect(parse(text)).toMatchObject(expected);
    // Whoever comes late hears the same.
    const late = await ask(bench, "GET", `/v1/operations/${id}/events`);
    expect(parse(late.text)).toMatchObject(expected);
  });

  it("does not cancel when the follower leaves, and ends with the error when somebody does", async () => {
    const { bench, operation, id } = await startingServer();
    const leaving = await open(bench, "GET", `/v1/operations/${id}/events`);
    const staying = await open(bench, "GET", `/v1/operations/${id}/events`);
    const gone = new Promise((resolve) => leaving.socket.on("close", resolve));
    leaving.destroy();
    await gone;
    await ask(bench, "GET", "/v1/operations");
    expect(operation.signal.aborted).toBe(false);
    await ask(bench, "DELETE", `/v1/operations/${id}`);
    expect((await all(staying)).at(-1)).toMatchObject({
      type: "error",
      error: { code: "ERR_CANCELLED", operationId: id },
    });
  });

  it("costs a follower that does not read its progress, not the daemon its memory", async () => {
    const { bench, operation, id, finish } = await startingServer();
    const follower = await open(bench, "GET", `/v1/operations/${id}/events`);
    follower.pause();
    const text = "x".repeat(500);
    for (let round = 0; round < 50_000; round++) {
      operation.progress(`stage ${round % 1000}`, text);
      if (round % 5_000 === 0) await sleep(1);
    }
    finish();
    await ended(bench, id);
    const events = await all(follower);
    // Of 25 MB: what the socket took, and the latest stages.
    expect(JSON.stringify(events).length).toBeLessThan(4 * 2 ** 20);
    expect(events.at(-2)).toMatchObject({ stage: "stage 999" });
    expect(events.at(-1)).toMatchObject({ type: "result" });
  });

  it("ends when the server does", async () => {
    const { bench, id } = await startingServer();
    const follower = await open(bench, "GET", `/v1/operations/${id}/events`);
    const end = all(follower).catch(() => undefined);
    await bench.server.close();
    await end;
  });
});
