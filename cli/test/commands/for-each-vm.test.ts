import type { VmId } from "@banger/core";
import { describe, expect, it } from "vitest";
import { Interruption } from "../../src/io.js";
import {
  operation,
  refusal,
  startFakeDaemon,
  type Answers,
} from "../fake-daemon.js";
import { run } from "../run.js";
import { sampleVm } from "../sample-vm.js";
import { temporaryDirectory } from "../temporary-directory.js";

const web = sampleVm({ name: "web", id: "aaaaaaaaaaaa" as VmId });
const db = sampleVm({ name: "db", id: "bbbbbbbbbbbb" as VmId });
const box = sampleVm({ name: "box", id: "cccccccccccc" as VmId });
const box2 = sampleVm({ name: "box-2", id: "cdcdcdcdcdcd" as VmId });
const all = [web, db, box, box2];

const done = operation({ type: "result", value: web, elapsedMs: 1 });
const failed = operation({
  type: "error",
  error: {
    code: "ERR_X",
    kind: "unavailable",
    message: "no way",
    hint: "find one",
    operationId: "op-7",
  },
});

/** A daemon with these VMs that stops each of them, unless told otherwise. */
async function daemon(
  answers: Answers = {},
): Promise<{ home: string; stopped: () => readonly string[] }> {
  const home = await temporaryDirectory();
  const { requests } = await startFakeDaemon(home, {
    "GET /v1/vms": all,
    ...Object.fromEntries(
      all.map(({ id }) => [`POST /v1/vms/${id}/stop`, done]),
    ),
    ...answers,
  });
  const stopped = (): readonly string[] =>
    requests
      .filter(({ method }) => method === "POST")
      .map(({ url }) => all.find(({ id }) => url.includes(id))?.name ?? url);
  return { home, stopped };
}

describe("several references", () => {
  it("are resolved from one snapshot, and each VM is served once", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(home, {
      "GET /v1/vms": all,
      [`POST /v1/vms/${web.id}/stop`]: done,
      [`POST /v1/vms/${db.id}/stop`]: done,
    });
    const argv = ["vm", "stop", "db", "web", web.id, "we", "db", "aaaa"];
    const ended = await run(argv, { home });
    expect(ended).toMatchObject({ status: 0, stdout: "db\nweb\n" });
    expect(
      requests.map(({ method, url }) => `${method} ${url}`).sort(),
    ).toEqual(
      [
        "GET /v1/vms",
        `POST /v1/vms/${web.id}/stop`,
        `POST /v1/vms/${db.id}/stop`,
      ].sort(),
    );
  });

  it("are served side by side and printed in the order first named", async () => {
    let release: (() => void) | undefined;
    const isLast = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { home } = await daemon({
      [`POST /v1/vms/${web.id}/stop`]: async (
        ...call: Parameters<typeof done>
      ) => {
        // Were they served one after the other, this would wait for ever.
        await isLast;
        return done(...call);
      },
      [`POST /v1/vms/${db.id}/stop`]: (...call: Parameters<typeof done>) => {
        release?.();
        return done(...call);
      },
    });
    const ended = await run(["vm", "stop", "web", "db", "web"], { home });
    expect(ended).toMatchObject({ status: 0, stdout: "web\ndb\n" });
  });

  it("take an exact name for no prefix", async () => {
    const { home, stopped } = await daemon();
    const ended = await run(["vm", "stop", "box", "web"], { home });
    expect(ended).toMatchObject({ status: 0, stdout: "box\nweb\n" });
    expect([...stopped()].sort()).toEqual(["box", "web"]);
  });

  it.each([
    ["missing", "nobody", "ERR_VM_NOT_FOUND", 'no VM matches "nobody"'],
    ["ambiguous", "bo", "ERR_VM_AMBIGUOUS", "several VMs: box, box-2"],
  ])(
    "are served when another is %s, and the status is 1",
    async (_what, reference, code, message) => {
      const { home, stopped } = await daemon();
      const argv = ["vm", "stop", "db", reference, "web"];
      const ended = await run(argv, { home });
      expect(ended).toMatchObject({ status: 1, stdout: "db\nweb\n" });
      expect(ended.stderr).toContain("1 of 3 failed");
      expect(ended.stderr).toContain(message);
      expect(ended.stderr).toMatch(new RegExp(String.raw`^\[${code}\]$`, "m"));
      expect([...stopped()].sort()).toEqual(["db", "web"]);
    },
  );

  it("that fail are listed in the order named, with hint, code and operation", async () => {
    const { home } = await daemon({ [`POST /v1/vms/${web.id}/stop`]: failed });
    const argv = ["vm", "stop", "web", "db", "bo", "nobody", "nobody"];
    const ended = await run(argv, { home });
    expect(ended).toMatchObject({ status: 1, stdout: "db\n" });
    const lines = ended.stderr.split("\n");
    const details = lines.slice(lines.indexOf("banger: 3 of 4 failed") + 1);
    expect(details[0]).toBe("  no way (find one) [ERR_X, op-7]");
    expect(details[1]).toContain("[ERR_VM_AMBIGUOUS]");
    expect(details[2]).toContain("[ERR_VM_NOT_FOUND]");
    expect(details[3]).toBe("[ERR_SEVERAL]");
  });

  it("none of which can be served end with 1 too", async () => {
    const { home, stopped } = await daemon();
    const ended = await run(["vm", "stop", "bo", "cdcd", "c"], { home });
    expect(ended.status).toBe(1);
    const none = await run(["vm", "stop", "bo", "c"], { home });
    expect(none).toMatchObject({ status: 1, stdout: "" });
    expect(stopped()).toEqual(["box-2"]);
  });

  it("have their progress labelled, and a single one has not", async () => {
    const busy = operation(
      { type: "progress", stage: "power-off", text: "asking", elapsedMs: 1 },
      { type: "result", value: web, elapsedMs: 1 },
    );
    const { home } = await daemon({
      [`POST /v1/vms/${web.id}/stop`]: busy,
      [`POST /v1/vms/${db.id}/stop`]: busy,
    });
    const two = await run(["vm", "stop", "web", "db"], { home });
    expect(two.stderr).toContain("web: power-off: asking\n");
    expect(two.stderr).toContain("db: power-off: asking\n");
    const one = await run(["vm", "stop", "web", "aaaa"], { home });
    expect(one.stderr).toBe("power-off: asking\n");
  });

  it("are cancelled together", async () => {
    const abort = new AbortController();
    const { home } = await daemon({
      [`POST /v1/vms/${web.id}/stop`]: () => {
        abort.abort(new Interruption("SIGINT", 130));
      },
    });
    const argv = ["vm", "stop", "web", "db"];
    const ended = await run(argv, { home, signal: abort.signal });
    expect(ended).toEqual({ status: 130, stdout: "", stderr: "cancelled\n" });
  });
});

describe("vm stop --all", () => {
  it("stops what runs and nothing else", async () => {
    const old = sampleVm({ name: "old", state: "stopped" });
    const { home, stopped } = await daemon({
      "GET /v1/vms": [old, web, db],
    });
    const ended = await run(["vm", "stop", "--all"], { home });
    expect(ended).toMatchObject({ status: 0, stdout: "web\ndb\n" });
    expect([...stopped()].sort()).toEqual(["db", "web"]);
  });

  it("is fine when nothing runs", async () => {
    const { home, stopped } = await daemon({ "GET /v1/vms": [] });
    const ended = await run(["vm", "stop", "--all"], { home });
    expect(ended).toEqual({ status: 0, stdout: "", stderr: "no VM runs\n" });
    expect(stopped()).toEqual([]);
  });
});

describe("vm set", () => {
  const patch = (...[request, response]: Parameters<typeof done>) => {
    const { name = "web" } = request.body as { name?: string };
    const value = sampleVm({ name });
    return operation({ type: "result", value, elapsedMs: 1 })(
      request,
      response,
    );
  };

  it("renames one VM and prints its new name", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(home, {
      "GET /v1/vms": all,
      [`PATCH /v1/vms/${web.id}`]: patch,
    });
    const argv = ["vm", "set", "web", "--name", "www"];
    const ended = await run(argv, { home });
    expect(ended).toMatchObject({ status: 0, stdout: "www\n" });
    expect(requests.at(-1)?.body).toEqual({ name: "www" });
    const json = await run([...argv, "--json"], { home });
    expect(JSON.parse(json.stdout)).toMatchObject({ name: "www" });
    expect(json.stderr).toBe("");
  });

  it("changes several, and has a list of those it changed", async () => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(home, {
      "GET /v1/vms": all,
      [`PATCH /v1/vms/${web.id}`]: patch,
      [`PATCH /v1/vms/${db.id}`]: failed,
    });
    const argv = ["vm", "set", "db", "web", "--memory", "4G", "--json"];
    const ended = await run(argv, { home });
    expect(ended.status).toBe(1);
    expect(JSON.parse(ended.stdout)).toMatchObject([{ name: "web" }]);
    expect(JSON.parse(ended.stderr)).toMatchObject({ code: "ERR_X" });
    expect(requests.slice(1).map(({ body }) => body)).toEqual([
      { memory: "4G" },
      { memory: "4G" },
    ]);
  });
});

describe("restart, kill and touch", () => {
  it("say when each is ready, also one that did not run", async () => {
    const home = await temporaryDirectory();
    const old = sampleVm({ name: "old", state: "stopped", id: db.id });
    const ready = operation({ type: "result", value: web, elapsedMs: 5432 });
    await startFakeDaemon(home, {
      "GET /v1/vms": [web, old],
      [`POST /v1/vms/${web.id}/restart`]: ready,
      [`POST /v1/vms/${old.id}/restart`]: ready,
    });
    const ended = await run(["vm", "restart", "old", "web"], { home });
    expect(ended).toMatchObject({ status: 0, stdout: "old\nweb\n" });
    expect(ended.stderr).toContain("ready in 5.4 s: web\n");
    expect(ended.stderr).toContain("ready in 5.4 s: old\n");
  });

  it.each([
    [[], "KILL"],
    [["-s", "term"], "TERM"],
    [["--signal", "SIGTERM"], "TERM"],
    [["--signal=sigUsr1"], "USR1"],
  ])("kill %j sends %s", async (options, signal) => {
    const home = await temporaryDirectory();
    const { requests } = await startFakeDaemon(home, {
      "GET /v1/vms": all,
      [`POST /v1/vms/${web.id}/kill`]: done,
    });
    const ended = await run(["vm", "kill", "web", ...options], { home });
    expect(ended).toEqual({ status: 0, stdout: "web\n", stderr: "" });
    expect(requests.at(-1)?.body).toEqual({ signal });
  });

  it("touch asks for each, and one that is gone is an error", async () => {
    const home = await temporaryDirectory();
    await startFakeDaemon(home, {
      "GET /v1/vms": all,
      [`POST /v1/vms/${web.id}/touch`]: web,
      [`POST /v1/vms/${db.id}/touch`]: refusal(404, {
        code: "ERR_VM_GONE",
        kind: "not-found",
        message: "db is gone",
      }),
    });
    const ended = await run(["vm", "touch", "db", "web"], { home });
    expect(ended).toMatchObject({ status: 1, stdout: "web\n" });
    expect(ended.stderr).toContain("ERR_VM_GONE");
  });
});
