import { connect } from "node:net";
import type { GuestService } from "@banger/core";
import { CancelledError, PortForwardedError } from "@banger/core";
import { describe, expect, it, vi } from "vitest";
import { guestRoutes } from "../../src/api/routes/guest-routes.js";
import { ask, open, startServer } from "./api-bench.js";

async function bench(guestService: Partial<GuestService>) {
  const service = guestService as GuestService;
  return startServer({}, guestRoutes({ guestService: service }));
}
const lastEvent = (text: string): unknown =>
  JSON.parse(text.trimEnd().split("\n").at(-1) ?? "");

describe("what a guest says", () => {
  it("is JSON, asked for within a limit", async () => {
    const signals: AbortSignal[] = [];
    const answer =
      <T>(value: T) =>
      (vm: string, signal: AbortSignal): Promise<T> => {
        expect(vm).toBe("web");
        signals.push(signal);
        return Promise.resolve(value);
      };
    const health = { healthy: true, checks: [] };
    const server = await bench({
      ping: answer(1.5),
      health: answer(health),
      ports: answer([]),
      refusals: answer({
        egress: { kind: "open", recorded: true },
        refusals: [],
      }),
      stats: answer({ collectedAt: "", residentBytes: 1, diskBytes: 2 }),
    });
    const read = async (what: string): Promise<unknown> =>
      JSON.parse((await ask(server, "GET", `/v1/vms/web/${what}`)).text);
    expect(await read("ping")).toEqual({ roundTripMs: 1.5 });
    expect(await read("health")).toEqual(health);
    expect(await read("ports")).toEqual([]);
    expect(await read("stats")).toMatchObject({ diskBytes: 2 });
    expect(await read("refusals")).toEqual({
      egress: { kind: "open", recorded: true },
      refusals: [],
    });
    expect(signals).toHaveLength(5);
  });

  it("has what a process did, run through the agent", async () => {
    const runs: unknown[] = [];
    const server = await bench({
      execByAgent: (vm, { argv, input }) => {
        runs.push([vm, argv, input && Buffer.from(input).toString()]);
        return Promise.resolve({
          exit: argv[0] === "kill" ? { signal: "SIGKILL" } : { exitCode: 3 },
          stdout: Buffer.from([0, 255]),
          stderr: new Uint8Array(),
        });
      },
    });
    const run = async (body: unknown): Promise<unknown> => {
      const path = "/v1/vms/web/agent/exec";
      return lastEvent(
        (await ask(server, "POST", path, JSON.stringify(body))).text,
      );
    };
    expect(await run({ argv: ["id", "-u"], input: "aGk=" })).toMatchObject({
      type: "result",
      value: { exitCode: 3, stdout: "AP8=", stderr: "" },
    });
    expect(await run({ argv: ["kill"] })).toMatchObject({
      value: { signal: "SIGKILL" },
    });
    expect(runs).toEqual([
      ["web", ["id", "-u"], "hi"],
      ["web", ["kill"], undefined],
    ]);
    for (const body of [
      {},
      { argv: [] },
      { argv: [""] },
      { argv: ["a\0b"] },
      { argv: ["id"], input: "no base64!" },
      { argv: ["id"], more: 1 },
    ])
      expect(await run(body)).toMatchObject({ kind: "usage" });
    expect(runs).toHaveLength(2);
  });

  it("is waited for no longer than the client does", async () => {
    let signal: AbortSignal | undefined;
    const server = await bench({
      ports: (_vm, given) => {
        signal = given;
        return new Promise((_, reject) => {
          given.addEventListener("abort", () => {
            reject(new CancelledError("listing"));
          });
        });
      },
    });
    const client = connect(server.socketPath);
    client.write("GET /v1/vms/web/ports HTTP/1.1\r\nHost: x\r\n\r\n");
    await vi.waitFor(() => expect(signal).toBeDefined());
    expect(signal?.aborted).toBe(false);
    client.destroy();
    await vi.waitFor(() => expect(signal?.aborted).toBe(true));
  });
});

describe("forwards", () => {
  it("are opened with what was asked for, and removed by their port", async () => {
    const calls: unknown[] = [];
    const server = await bench({
      forward: (vm, request, keep) => {
        calls.push([vm, request, keep]);
        const endpoint = "web.vm:8080";
        return Promise.resolve({ ...request, address: "x", endpoint });
      },
      unforward: (vm, port) => {
        calls.push([vm, port]);
        return Promise.resolve();
      },
    });
    const body = { port: 8080, guestPort: 80, keep: true };
    const path = "/v1/vms/web/forwards";
    const kept = await ask(server, "POST", path, JSON.stringify(body));
    expect(lastEvent(kept.text)).toMatchObject({
      type: "result",
      value: { endpoint: "web.vm:8080" },
    });
    await ask(server, "DELETE", `${path}/8080`);
    expect(calls).toEqual([
      ["web", { port: 8080, guestPort: 80 }, true],
      ["web", 8080],
    ]);
  });

  it("say the endpoint at once and end when the client leaves", async () => {
    const ended = vi.fn();
    const server = await bench({
      forward: (_vm, _request, keep, { signal, progress }) => {
        expect(keep).toBe(false);
        progress("forward", "web.vm:8080");
        return new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            ended();
            reject(new CancelledError("the forward"));
          });
        });
      },
    });
    const body = JSON.stringify({ port: 8080, guestPort: 80 });
    const path = "/v1/vms/web/forwards";
    const response = await open(server, "POST", path, body);
    let text = "";
    for await (const chunk of response) {
      text += String(chunk);
      if (text.includes("web.vm:8080")) break;
    }
    expect(lastEvent(text)).toMatchObject({ stage: "forward" });
    response.destroy();
    await vi.waitFor(() => expect(ended).toHaveBeenCalledOnce());
    await vi.waitFor(() => expect(server.activity.isIdle).toBe(true));
  });

  it.each([
    ["no port", { guestPort: 80 }],
    ["port 0", { port: 0, guestPort: 80 }],
    ["a port above all", { port: 80, guestPort: 65_536 }],
    ["half a port", { port: 80.5, guestPort: 80 }],
    [
      "a name for an address",
      { port: 80, guestPort: 80, address: "localhost" },
    ],
    ["an unknown field", { port: 80, guestPort: 80, host: "127.0.0.1" }],
  ])("are refused with %s", async (_what, body) => {
    const forward = vi.fn();
    const server = await bench({ forward });
    const path = "/v1/vms/web/forwards";
    const { status } = await ask(server, "POST", path, JSON.stringify(body));
    expect(status).toBe(400);
    expect(forward).not.toHaveBeenCalled();
  });

  it("report why not", async () => {
    const known = { address: "127.77.0.1", port: 8080, guestPort: 80 };
    const server = await bench({
      forward: () => Promise.reject(new PortForwardedError("web", known)),
    });
    const body = JSON.stringify({ port: 8080, guestPort: 81 });
    const path = "/v1/vms/web/forwards";
    const { text } = await ask(server, "POST", path, body);
    expect(lastEvent(text)).toMatchObject({
      type: "error",
      error: { code: "ERR_PORT_FORWARDED", kind: "conflict" },
    });
  });
});
