import type { ReachablePort, VmHealth, VmStats } from "@banger/core/client";
import { describe, expect, it } from "vitest";
import { Interruption } from "../../src/io.js";
import {
  operation,
  refusal,
  startFakeDaemon,
  type Answers,
} from "../fake-daemon.js";
import { run, type RunOptions } from "../run.js";
import { sampleVm } from "../sample-vm.js";
import { temporaryDirectory } from "../temporary-directory.js";

const web = sampleVm();
const db = sampleVm({ name: "db", id: "ba9876543210" as typeof web.id });
const old = sampleVm({
  name: "old",
  id: "aaaaaaaaaaaa" as typeof web.id,
  state: "stopped",
});
const gone = refusal(409, {
  code: "ERR_VM_STATE",
  kind: "conflict",
  message: "it is not running",
});

async function bench(answers: Answers) {
  const home = await temporaryDirectory();
  const vms = { "GET /v1/vms": [web, db, old] };
  const daemon = await startFakeDaemon(home, { ...vms, ...answers });
  return {
    ...daemon,
    run: (line: string, options: Partial<RunOptions> = {}) =>
      run(line.split(" "), { home, ...options }),
  };
}
const of = (vm: typeof web, what: string): string =>
  `GET /v1/vms/${vm.id}/${what}`;

describe("vm exec --agent", () => {
  const path = "POST /v1/vms/web/agent/exec";
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const ended = (value: unknown) =>
    operation({ type: "result", value, elapsedMs: 1 });

  it("passes on what the command wrote, and its status", async () => {
    const { run, requests } = await bench({
      [path]: ended({
        exitCode: 3,
        stdout: base64("out\n"),
        stderr: base64("err\n"),
      }),
    });
    const outcome = await run("vm exec web --agent -- sh -c echo");
    expect(outcome).toMatchObject({
      status: 3,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect(requests.at(-1)?.body).toEqual({ argv: ["sh", "-c", "echo"] });
  });

  it("tells a signal and banger's own failures apart as without it", async () => {
    const killed = await bench({
      [path]: ended({ signal: "SIGKILL", stdout: "", stderr: "" }),
    });
    expect((await killed.run("vm exec web --agent -- id")).status).toBe(137);
    const refused = await bench({ [path]: gone });
    expect((await refused.run("vm exec web --agent -- id")).status).toBe(125);
  });

  it.each(["-t", "--cwd /srv"])("does not go with %s", async (option) => {
    const { run, requests } = await bench({});
    const outcome = await run(`vm exec web --agent ${option} -- id`);
    expect(outcome.stderr).toContain("--agent");
    expect(requests).toEqual([]);
  });
});

describe("vm ping", () => {
  it("prints each answer, or all as JSON", async () => {
    const { run, requests } = await bench({
      "GET /v1/vms/web/ping": { roundTripMs: 3.14159 },
    });
    expect(await run("vm ping web")).toMatchObject({
      status: 0,
      stdout: "3.1 ms\n",
    });
    const json = await run("vm ping -c 2 --json web");
    expect(JSON.parse(json.stdout)).toEqual([
      { roundTripMs: 3.14159 },
      { roundTripMs: 3.14159 },
    ]);
    expect(requests).toHaveLength(3);
    expect((await run("vm ping -c 0 web")).status).toBe(2);
  });

  it("ends between two answers when it is interrupted", async () => {
    const stop = new AbortController();
    const { run } = await bench({
      "GET /v1/vms/web/ping": () => stop.abort(new Interruption("SIGINT", 130)),
    });
    const ended = await run("vm ping -c 9 web", { signal: stop.signal });
    expect(ended).toEqual({ status: 130, stdout: "", stderr: "" });
  });
});

describe("vm health", () => {
  const well: VmHealth = {
    healthy: true,
    checks: [
      { id: "vm.vmm", title: "VMM process", status: "pass", detail: "runs" },
    ],
  };
  const ill: VmHealth = {
    healthy: false,
    checks: [
      {
        id: "vm.agent",
        title: "guest agent",
        status: "fail",
        detail: "silent\u001b[31m",
        fix: "banger vm logs db",
      },
    ],
  };

  it("has status 1 when one is not well, and shows what helps", async () => {
    const { run } = await bench({
      [of(web, "health")]: well,
      [of(db, "health")]: ill,
    });
    expect((await run("vm health web")).status).toBe(0);
    const both = await run("vm health web db");
    expect(both.status).toBe(1);
    expect(both.stdout).toContain("fix: banger vm logs db");
    expect(both.stdout).not.toContain("\u001b");
    const json = await run("vm health db --json");
    expect(json.status).toBe(1);
    expect(JSON.parse(json.stdout)).toEqual([
      { id: db.id, name: "db", ...ill },
    ]);
  });

  it("serves those that are there, once each, and has status 1", async () => {
    const { run, requests } = await bench({ [of(web, "health")]: well });
    const ended = await run("vm health web nobody 0123 web");
    expect(ended.status).toBe(1);
    expect(ended.stdout).toContain("VMM process");
    expect(ended.stderr).toContain("ERR_VM_NOT_FOUND");
    expect(requests).toHaveLength(2);
  });
});

describe("vm ports", () => {
  const ports: readonly ReachablePort[] = [
    {
      protocol: "tcp",
      address: "0.0.0.0",
      port: 22,
      process: "sshd",
      endpoint: "web.vm:22",
    },
    {
      protocol: "tcp",
      address: "127.0.0.1",
      port: 8000,
      process: "e\u001b[2Jvil",
      scheme: "http",
    },
    { protocol: "udp", address: "0.0.0.0", port: 68 },
  ];

  it("is a table of all, in the order asked for, with a hint", async () => {
    const { run } = await bench({
      [of(web, "ports")]: ports,
      [of(db, "ports")]: ports.slice(0, 1),
    });
    const ended = await run("vm ports db web");
    expect(ended.stdout).toBe(
      [
        "VM   PROTO     PORT  PROCESS  ENDPOINT",
        "db   tcp       22    sshd     web.vm:22",
        "web  tcp       22    sshd     web.vm:22",
        "web  tcp http  8000  e[2Jvil  -",
        "web  udp       68    -        -",
        "",
      ].join("\n"),
    );
    expect(ended.stderr).toBe(
      "hint: reach port 8000 of web: banger vm forward web 8000\n",
    );
  });

  it("is JSON without words beside it", async () => {
    const { run } = await bench({ [of(web, "ports")]: ports });
    const ended = await run("vm ports web --json");
    expect(JSON.parse(ended.stdout)).toEqual([
      { id: web.id, name: "web", ports },
    ]);
    expect(ended.stderr).toBe("");
  });
});

describe("vm stats", () => {
  const stats: VmStats = {
    collectedAt: "2026-01-01T00:00:00.000Z",
    cpuPercent: 12.4,
    residentBytes: 300 * 2 ** 20,
    diskBytes: 2 ** 30,
    io: {
      diskReadBytes: 12 * 2 ** 20,
      diskWrittenBytes: 2048,
      networkReceivedBytes: 5 * 2 ** 20,
      networkSentBytes: 512,
    },
    guest: {
      memoryTotalBytes: 2 ** 31,
      memoryAvailableBytes: 2 ** 30,
      loadAverage: [0.5, 1, 12],
    },
  };
  const {
    cpuPercent: _share,
    guest: _inside,
    io: _through,
    ...outside
  } = stats;
  const diskOnly = { diskReadBytes: 0, diskWrittenBytes: 4096 };

  it("are of every VM that runs when none is named", async () => {
    const { run } = await bench({
      [of(web, "stats")]: stats,
      [of(db, "stats")]: outside,
    });
    expect((await run("vm stats")).stdout).toBe(
      [
        "NAME  CPU   RSS      DISK   READ/WRITTEN  NET IN/OUT   GUEST MEMORY    LOAD",
        "web   12 %  300 MiB  1 GiB  12 MiB/2 KiB  5 MiB/512 B  1 GiB of 2 GiB  0.50 1.00 12.00",
        "db    -     300 MiB  1 GiB  -             -            -               -",
        "",
      ].join("\n"),
    );
    const json = await run("vm stats --json web");
    expect(JSON.parse(json.stdout)).toEqual([
      { id: web.id, name: "web", stats },
    ]);
  });

  it("have a dash for what a VMM does not count", async () => {
    const { run } = await bench({
      [of(db, "stats")]: { ...outside, io: diskOnly },
    });
    expect((await run("vm stats db")).stdout).toContain("  0 B/4 KiB     -  ");
  });

  it("leave out one that has just ended, unless it was named", async () => {
    const { run } = await bench({
      [of(web, "stats")]: stats,
      [of(db, "stats")]: gone,
    });
    const all = await run("vm stats");
    expect(all).toMatchObject({ status: 0, stderr: "" });
    expect(all.stdout).not.toContain("db");
    const named = await run("vm stats web db");
    expect(named.status).toBe(1);
    expect(named.stdout).toContain("web");
    expect(named.stderr).toContain("ERR_VM_STATE");
  });

  it.each([
    ["lines below each other", false, /^NAME.*\nweb .*\nweb .*\n$/],
    [
      "a screen drawn anew",
      true,
      // eslint-disable-next-line no-control-regex -- clearing the screen is the point
      /^\u001b\[H\u001b\[J.*NAME[^]*\u001b\[H\u001b\[J.*NAME/,
    ],
  ])(
    "are watched until Ctrl-C, as %s",
    async (_what, terminal, shape) => {
      const stop = new AbortController();
      let looks = 0;
      const { run } = await bench({
        [of(web, "stats")]: (
          _request: unknown,
          response: { end: (text: string) => void },
        ) => {
          looks++;
          if (looks > 2) stop.abort(new Interruption("SIGINT", 130));
          else response.end(JSON.stringify(stats));
        },
      });
      const ended = await run("vm stats -w web", {
        signal: stop.signal,
        terminal,
      });
      expect(ended).toMatchObject({ status: 130, stderr: "" });
      expect(ended.stdout).toMatch(shape);
    },
    10_000,
  );

  it("are watched with a header also when the first VM comes later", async () => {
    const stop = new AbortController();
    let looks = 0;
    const { run } = await bench({
      "GET /v1/vms": (
        _request: unknown,
        response: { end: (text: string) => void },
      ) => {
        looks++;
        if (looks > 2) stop.abort(new Interruption("SIGINT", 130));
        else response.end(JSON.stringify(looks === 1 ? [] : [web]));
      },
      [of(web, "stats")]: stats,
    });
    const ended = await run("vm stats -w", { signal: stop.signal });
    expect(ended.stdout).toMatch(/^NAME.*\nweb .*\n$/);
  }, 10_000);
});

describe("vm forward", () => {
  const forwards = "/v1/vms/web/forwards";
  const endpoint = "web.vm:8080";

  it("keeps a port, and removes it", async () => {
    const { run, requests } = await bench({
      [`POST ${forwards}`]: operation({
        type: "result",
        value: { endpoint },
        elapsedMs: 1,
      }),
      [`DELETE ${forwards}/8080`]: operation({
        type: "result",
        value: {},
        elapsedMs: 1,
      }),
    });
    const kept = await run("vm forward web 8080:80 --keep --address 127.0.0.1");
    expect(kept).toEqual({ status: 0, stdout: `${endpoint}\n`, stderr: "" });
    const removed = await run("vm forward web 8080 --remove");
    expect(removed).toMatchObject({ status: 0, stdout: "" });
    expect(requests.map(({ method, body }) => [method, body])).toEqual([
      ["POST", { port: 8080, guestPort: 80, address: "127.0.0.1", keep: true }],
      ["DELETE", undefined],
    ]);
  });

  it.each([
    ["SIGINT", 130, 0],
    ["SIGTERM", 143, 143],
  ])("says where it listens, and ends by %s", async (name, code, status) => {
    const stop = new AbortController();
    const { run, requests } = await bench({
      [`POST ${forwards}`]: (
        _request: unknown,
        response: { write: (text: string) => void },
      ) => {
        const event = { type: "progress", stage: "forward", text: endpoint };
        response.write(`${JSON.stringify({ ...event, elapsedMs: 1 })}\n`);
        setTimeout(() => stop.abort(new Interruption(name, code)), 100);
      },
    });
    const ended = await run("vm forward web 8080", { signal: stop.signal });
    expect(ended).toEqual({
      status,
      stdout: `${endpoint}\n`,
      stderr: "forwarding to port 8080 until Ctrl-C\n",
    });
    expect(requests[0]?.body).toEqual({ port: 8080, guestPort: 8080 });
  });

  it("fails when the VM stops", async () => {
    const { run } = await bench({
      [`POST ${forwards}`]: operation({
        type: "error",
        error: { code: "ERR_VM_STATE", kind: "conflict", message: "stopped" },
      }),
    });
    const ended = await run("vm forward web 8080");
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain("ERR_VM_STATE");
  });

  it.each([
    "vm forward web",
    "vm forward web 0",
    "vm forward web 65536",
    "vm forward web 80:0",
    "vm forward web 80:80:80",
    "vm forward web http",
    "vm forward web 80:81 --remove",
    "vm forward web 80 --remove --keep",
  ])("refuses %s", async (line) => {
    const { run, requests } = await bench({});
    expect((await run(line)).status).toBe(2);
    expect(requests).toEqual([]);
  });
});
