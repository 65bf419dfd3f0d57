import type { OperationRecord } from "@banger/core";
import { describe, expect, it } from "vitest";
import {
  operation,
  refusal,
  startFakeDaemon,
  type Answers,
} from "../fake-daemon.js";
import { run } from "../run.js";
import { temporaryDirectory } from "../temporary-directory.js";

const running: OperationRecord = {
  id: "op-aaaaaaaa",
  what: "start \u001b[31mweb",
  vm: "web",
  state: "running",
  stage: "boot",
  text: "waiting for the guest",
  startedAt: "2026-01-02T03:04:05.000Z",
  elapsedMs: 65_000,
  timeline: [],
};
const failed: OperationRecord = {
  id: "op-bbbbbbbb",
  what: "stop db",
  state: "failed",
  startedAt: "2026-01-02T03:04:05.000Z",
  endedAt: "2026-01-02T03:04:06.000Z",
  elapsedMs: 1000,
  error: {
    code: "ERR_START_FAILED",
    kind: "failed",
    message: "db did not stop",
    hint: "look at it",
    details: ["caused by: this", "and that"],
    operationId: "op-bbbbbbbb",
  },
  timeline: [{ kind: "stage", name: "cleanup", startMs: 10, durationMs: 900 }],
};

async function daemon(answers: Answers) {
  const home = await temporaryDirectory();
  const { requests } = await startFakeDaemon(home, answers);
  const asked = (): string[] =>
    requests.map(({ method, url }) => `${method} ${url}`);
  return { home, asked };
}

describe("operation list", () => {
  const answers = { "GET /v1/operations": [failed, running] };

  it("shows what runs, under both its names", async () => {
    const { home } = await daemon(answers);
    const { status, stdout } = await run(["operation", "list"], { home });
    expect(status).toBe(0);
    const [header, row, ...more] = stdout.trimEnd().split("\n");
    expect(header).toMatch(/^ID +WHAT +STATE +STAGE +ELAPSED +AGE$/);
    expect(row).toMatch(
      /^op-aaaaaaaa {2}start \[31mweb {2}running {2}boot {3}1 min 5 s {2}\d+ d$/,
    );
    expect(more).toEqual([]);
    expect((await run(["operations"], { home })).stdout).toBe(stdout);
  });

  it("shows what ended too with --all, and records as JSON", async () => {
    const { home } = await daemon(answers);
    const { stdout } = await run(["operations", "-a"], { home });
    expect(stdout.trimEnd().split("\n")).toHaveLength(3);
    expect(stdout).toContain("op-bbbbbbbb");
    const json = await run(["operations", "--json"], { home });
    expect(JSON.parse(json.stdout)).toEqual([running]);
    const all = await run(["operations", "--json", "--all"], { home });
    expect(JSON.parse(all.stdout)).toEqual([failed, running]);
  });

  it("says of one that cleans up that it is being cancelled", async () => {
    const ending = { ...running, isEnding: true };
    const { home } = await daemon({ "GET /v1/operations": [ending] });
    expect((await run(["operations"], { home })).stdout).toContain(
      "cancelling",
    );
  });

  it("starts no daemon", async () => {
    const home = await temporaryDirectory();
    expect(await run(["operations"], { home })).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect((await run(["operations", "--json"], { home })).stdout).toBe("[]\n");
  });
});

describe("operation show", () => {
  it("prints one that has ended: outcome, reasons, times", async () => {
    const { home, asked } = await daemon({
      "GET /v1/operations/op-b": failed,
    });
    const { status, stdout, stderr } = await run(
      ["operation", "show", "op-b"],
      {
        home,
      },
    );
    expect([status, stderr]).toEqual([0, ""]);
    for (const line of [
      /^id +op-bbbbbbbb$/m,
      /^what +stop db$/m,
      /^state +failed$/m,
      /^error +db did not stop \[ERR_START_FAILED\]$/m,
      /^ +caused by: this$/m,
      /^ +and that$/m,
      /^hint +look at it$/m,
      /^took +1\.0 s$/m,
      /900 ms {2}cleanup$/m,
    ])
      expect(stdout).toMatch(line);
    expect(asked()).toEqual(["GET /v1/operations/op-b"]);
  });

  it("follows one that runs by its whole id, and ends with what it came to", async () => {
    const done = { ...running, state: "done" as const };
    let isOver = false;
    const { home } = await daemon({
      "GET /v1/operations/op-a": running,
      "GET /v1/operations/op-aaaaaaaa/events": (
        ...args: Parameters<ReturnType<typeof operation>>
      ) => {
        isOver = true;
        return operation(
          { type: "begin", operationId: running.id },
          { type: "progress", stage: "boot", text: "waiting", elapsedMs: 1 },
          { type: "result", value: done, elapsedMs: 2 },
        )(...args);
      },
      "GET /v1/operations/op-aaaaaaaa": (
        ...args: Parameters<ReturnType<typeof operation>>
      ) => operation(isOver ? done : running)(...args),
    });
    const ended = await run(["operation", "show", "op-a"], { home });
    expect(ended.status).toBe(0);
    expect(ended.stderr).toBe("boot: waiting\n");
    expect(ended.stdout).toMatch(/^state +done$/m);
  });

  it("takes the failure of the operation for its outcome, and only that", async () => {
    const answers = (operationId: string): Answers => ({
      "GET /v1/operations/op-bbbbbbbb": {
        ...failed,
        state: "running",
      },
      "GET /v1/operations/op-bbbbbbbb/events": operation({
        type: "error",
        error: { ...failed.error, operationId },
      }),
    });
    const argv = ["operation", "show", "op-bbbbbbbb"];
    const { home } = await daemon(answers("op-bbbbbbbb"));
    expect(await run(argv, { home })).toMatchObject({ status: 0, stderr: "" });
    const other = await daemon(answers("op-cccccccc"));
    const ended = await run(argv, { home: other.home });
    expect(ended).toMatchObject({ status: 1, stdout: "" });
    expect(ended.stderr).toContain("ERR_START_FAILED, op-cccccccc");
  });

  it("does not follow with --json", async () => {
    const { home, asked } = await daemon({
      "GET /v1/operations/op-a": running,
    });
    const { stdout } = await run(["operation", "show", "op-a", "--json"], {
      home,
    });
    expect(JSON.parse(stdout)).toEqual(running);
    expect(asked()).toEqual(["GET /v1/operations/op-a"]);
  });

  it("only leaves after Ctrl-C, and says nothing of a cancellation", async () => {
    const { Interruption } = await import("../../src/io.js");
    const interruption = new AbortController();
    const { home, asked } = await daemon({
      "GET /v1/operations/op-a": running,
      "GET /v1/operations/op-aaaaaaaa/events": () => {
        interruption.abort(new Interruption("SIGINT", 130));
      },
    });
    const ended = await run(["operation", "show", "op-a"], {
      home,
      signal: interruption.signal,
    });
    expect(ended).toEqual({ status: 130, stdout: "", stderr: "" });
    expect(asked().filter((line) => !line.startsWith("GET"))).toEqual([]);
  });
});

describe("operation cancel", () => {
  const notFound = refusal(404, {
    code: "ERR_OPERATION_NOT_FOUND",
    kind: "not-found",
    message: 'no operation matches "op-x"',
  });

  it("cancels each once and prints their ids", async () => {
    const { home, asked } = await daemon({
      "DELETE /v1/operations/op-a": running,
      "DELETE /v1/operations/op-b": { ...running, id: "op-bbbbbbbb" },
    });
    const argv = ["operation", "cancel", "op-a", "op-b", "op-a"];
    expect(await run(argv, { home })).toEqual({
      status: 0,
      stdout: "op-aaaaaaaa\nop-bbbbbbbb\n",
      stderr: "",
    });
    expect(asked()).toHaveLength(2);
  });

  it("cancels those that it can when others are missing", async () => {
    const { home } = await daemon({
      "DELETE /v1/operations/op-a": running,
      "DELETE /v1/operations/op-x": notFound,
    });
    const several = await run(["operation", "cancel", "op-x", "op-a"], {
      home,
    });
    expect(several).toMatchObject({ status: 1, stdout: "op-aaaaaaaa\n" });
    expect(several.stderr).toContain("1 of 2 were not cancelled");
    expect(several.stderr).toContain('no operation matches "op-x"');
    const one = await run(["operation", "cancel", "op-x"], { home });
    expect(one).toMatchObject({ status: 1, stdout: "" });
    expect(one.stderr).toContain("ERR_OPERATION_NOT_FOUND");
  });

  it("completes to what runs", async () => {
    const { home } = await daemon({ "GET /v1/operations": [failed, running] });
    const { stdout } = await run(
      ["--get-completions", "operation", "cancel", ""],
      { home },
    );
    expect(stdout).toBe("op-aaaaaaaa\tstart [31mweb\n");
  });
});
