import { getEventListeners } from "node:events";
import { isBangerError } from "@banger/core";
import { describe, expect, it } from "vitest";
import { FirecrackerApi } from "../../../src/vmm/firecracker/api-client.js";
import { FirecrackerApiError } from "../../../src/vmm/firecracker/api-errors.js";
import { fakeApi, firecrackerReply, rawApi } from "./fake-api.js";

const never = new AbortController().signal;
const limiter = { bandwidth: { refill_time: 100, size: 1_000 } };
const drive = {
  drive_id: "root",
  is_root_device: true,
  is_read_only: false,
  path_on_host: "/disks/root.raw",
};
const nic = {
  iface_id: "eth0",
  host_dev_name: "tap0",
  guest_mac: "02:00:00:00:00:01",
};
const snapshot = { mem_file_path: "/s/memory", snapshot_path: "/s/state" };
const load = {
  snapshot_path: "/s/state",
  mem_backend: { backend_type: "File", backend_path: "/s/memory" },
} as const;
const instance = {
  app_name: "Firecracker",
  id: "quiet-otter",
  state: "Not started",
  vmm_version: "1.7.0",
};

type Call = (api: FirecrackerApi, signal: AbortSignal) => Promise<unknown>;

const writing: readonly [string, Call, unknown][] = [
  [
    "PUT /machine-config",
    (api, signal) =>
      api.putMachineConfiguration({ vcpu_count: 2, mem_size_mib: 512 }, signal),
    { vcpu_count: 2, mem_size_mib: 512 },
  ],
  [
    "PUT /boot-source",
    (api, signal) =>
      api.putBootSource(
        { kernel_image_path: "/k", initrd_path: "/i", boot_args: "ro ü" },
        signal,
      ),
    { kernel_image_path: "/k", initrd_path: "/i", boot_args: "ro ü" },
  ],
  ["PUT /drives/root", (api, signal) => api.putDrive(drive, signal), drive],
  [
    "PATCH /drives/root",
    (api, signal) => api.patchDrive({ drive_id: "root" }, signal),
    { drive_id: "root" },
  ],
  [
    "PUT /network-interfaces/eth0",
    (api, signal) => api.putNetworkInterface(nic, signal),
    nic,
  ],
  [
    "PATCH /network-interfaces/eth0",
    (api, signal) =>
      api.patchNetworkInterface(
        { iface_id: "eth0", rx_rate_limiter: limiter },
        signal,
      ),
    { iface_id: "eth0", rx_rate_limiter: limiter },
  ],
  [
    "PUT /vsock",
    (api, signal) =>
      api.putVsock({ guest_cid: 3, uds_path: "/v.sock" }, signal),
    { guest_cid: 3, uds_path: "/v.sock" },
  ],
  ["PUT /entropy", (api, signal) => api.putEntropy({}, signal), {}],
  [
    "PUT /serial",
    (api, signal) => api.putSerial({ serial_out_path: "/console" }, signal),
    { serial_out_path: "/console" },
  ],
  [
    "PUT /metrics",
    (api, signal) => api.putMetrics({ metrics_path: "/metrics" }, signal),
    { metrics_path: "/metrics" },
  ],
  [
    "PUT /logger",
    (api, signal) => api.putLogger({ log_path: "/l", level: "Info" }, signal),
    { log_path: "/l", level: "Info" },
  ],
  [
    "PUT /balloon",
    (api, signal) =>
      api.putBalloon({ amount_mib: 0, deflate_on_oom: true }, signal),
    { amount_mib: 0, deflate_on_oom: true },
  ],
  [
    "PATCH /balloon",
    (api, signal) => api.patchBalloon({ amount_mib: 64 }, signal),
    { amount_mib: 64 },
  ],
  [
    "PUT /actions",
    (api, signal) => api.start(signal),
    { action_type: "InstanceStart" },
  ],
  [
    "PUT /actions",
    (api, signal) => api.sendCtrlAltDel(signal),
    { action_type: "SendCtrlAltDel" },
  ],
  [
    "PUT /actions",
    (api, signal) => api.flushMetrics(signal),
    { action_type: "FlushMetrics" },
  ],
  ["PATCH /vm", (api, signal) => api.pause(signal), { state: "Paused" }],
  ["PATCH /vm", (api, signal) => api.resume(signal), { state: "Resumed" }],
  [
    "PUT /snapshot/create",
    (api, signal) => api.createSnapshot(snapshot, signal),
    snapshot,
  ],
  ["PUT /snapshot/load", (api, signal) => api.loadSnapshot(load, signal), load],
];

const balloon = { amount_mib: 64, deflate_on_oom: true };
const statistics = {
  target_pages: 1,
  actual_pages: 2,
  target_mib: 3,
  actual_mib: 4,
  free_memory: 2 ** 40,
};

const reading: readonly [string, Call, answer: unknown, value: unknown][] = [
  ["GET /", (api, signal) => api.describe(signal), instance, instance],
  [
    "GET /version",
    (api, signal) => api.version(signal),
    { firecracker_version: "1.7.0" },
    "1.7.0",
  ],
  [
    "GET /vm/config",
    (api, signal) => api.vmConfiguration(signal),
    // As it writes it: what is not set is null, and a later one may know more.
    {
      balloon: null,
      drives: [{ ...drive, socket: null, rate_limiter: limiter }],
      "boot-source": { kernel_image_path: "/k", initrd_path: null },
      "machine-config": { vcpu_count: 2, mem_size_mib: 512, later: 1 },
      "network-interfaces": [],
      metrics: { metrics_path: "/m", properties: { owner: "ann" } },
      vsock: null,
      "later-device": {},
    },
    {
      drives: [{ ...drive, rate_limiter: limiter }],
      "boot-source": { kernel_image_path: "/k" },
      "machine-config": { vcpu_count: 2, mem_size_mib: 512 },
      "network-interfaces": [],
      metrics: { metrics_path: "/m", properties: { owner: "ann" } },
    },
  ],
  ["GET /balloon", (api, signal) => api.balloon(signal), balloon, balloon],
  [
    "GET /balloon/statistics",
    (api, signal) => api.balloonStatistics(signal),
    statistics,
    statistics,
  ],
];

describe("FirecrackerApi", () => {
  it.each(writing)("sends %s (%#)", async (request, call, body) => {
    const { socketPath, received } = await fakeApi();
    expect(await call(new FirecrackerApi(socketPath), never)).toBeUndefined();
    expect(received).toHaveLength(1);
    const [{ method, path, headers, body: text }] = received as [
      (typeof received)[0],
    ];
    expect(`${String(method)} ${String(path)}`).toBe(request);
    expect(JSON.parse(text)).toEqual(body);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(text)),
    });
    expect(headers).not.toHaveProperty("transfer-encoding");
  });

  it.each(reading)("reads %s", async (request, call, answer, value) => {
    const { socketPath, received } = await fakeApi(() => ({
      status: 200,
      body: JSON.stringify(answer),
    }));
    expect(await call(new FirecrackerApi(socketPath), never)).toEqual(value);
    expect(
      received.map(({ method, path }) => `${String(method)} ${String(path)}`),
    ).toEqual([request]);
    expect(received[0]!.body).toBe("");
    expect(received[0]!.headers).not.toHaveProperty("content-type");
  });

  it("understands answers as Firecracker writes them", async () => {
    const { socketPath } = await rawApi((socket, request) => {
      const isGet = request.startsWith("GET");
      socket.write(
        isGet
          ? firecrackerReply(200, JSON.stringify(instance))
          : firecrackerReply(204),
      );
    });
    const api = new FirecrackerApi(socketPath);
    expect(await api.describe(never)).toEqual(instance);
    await api.start(never);
  });

  it("puts an answer together that arrives byte by byte", async () => {
    const { socketPath } = await rawApi((socket) => {
      const reply = firecrackerReply(
        200,
        JSON.stringify({ firecracker_version: "1.7.0-ü€" }),
      );
      for (const byte of Buffer.from(reply)) socket.write(Buffer.from([byte]));
    });
    const api = new FirecrackerApi(socketPath);
    expect(await api.version(never)).toBe("1.7.0-ü€");
  });

  it("encodes an id in a path", async () => {
    const { socketPath, received } = await fakeApi();
    const api = new FirecrackerApi(socketPath);
    await api.patchDrive({ drive_id: "a/../b $&" }, never);
    expect(received[0]!.path).toBe("/drives/a%2F..%2Fb%20%24%26");
  });

  it("closes its connection after each request", async () => {
    const open = new Set<unknown>();
    const { socketPath, connections } = await rawApi((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      socket.write(firecrackerReply(204));
    });
    const api = new FirecrackerApi(socketPath);
    for (let count = 0; count < 20; count++) await api.pause(never);
    expect(connections()).toBe(20);
    await expect.poll(() => open.size).toBe(0);
  });
});

describe("a refusal", () => {
  const refused = async (
    status: number,
    body: string,
  ): Promise<FirecrackerApiError> => {
    const { socketPath } = await fakeApi(() => ({ status, body }));
    const error: unknown = await new FirecrackerApi(socketPath)
      .putDrive(drive, never)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FirecrackerApiError);
    return error as FirecrackerApiError;
  };

  it("carries Firecracker's own words", async () => {
    const fault = "Invalid path: /disks/root.raw";
    const error = await refused(400, JSON.stringify({ fault_message: fault }));
    expect(error).toMatchObject({
      code: "ERR_FIRECRACKER_API",
      status: 400,
      request: "PUT /drives/root",
      fault,
    });
    expect(error.message).toContain(fault);
    expect(error.message).toContain("PUT /drives/root");
  });

  it("carries them bounded and without control characters", async () => {
    const error = await refused(
      500,
      JSON.stringify({
        fault_message: `a\u001b[31m\r\nb\u202e${"x".repeat(9_000)}`,
      }),
    );
    expect(error.fault).toMatch(/^a \[31m b x{900}/);
    expect(error.message.length).toBeLessThan(1_200);
  });

  it.each([
    [
      "of its HTTP server",
      '{ "error": "Too many open connections" }',
      /Too many/,
    ],
    [
      "of its HTTP server, which is no JSON",
      '{ "error": "Bad request.\nAll previous unanswered requests will be dropped." }',
      /Bad request\. All previous/,
    ],
    ["that is no object", '"no"', /no/],
    ["without a reason", "", /^$/],
    ["with a reason that is no text", '{"fault_message": 7}', /7/],
  ])("is one too when it is that %s", async (_what, body, words) => {
    expect((await refused(503, body)).fault).toMatch(words);
  });

  it("is read also when the connection closes with it", async () => {
    const { socketPath } = await rawApi((socket) =>
      socket.end(
        'HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n{ "error": "Too many open connections" }',
      ),
    );
    await expect(
      new FirecrackerApi(socketPath).start(never),
    ).rejects.toMatchObject({
      code: "ERR_FIRECRACKER_API",
      status: 503,
      fault: "Too many open connections",
    });
  });
});

describe("no answer", () => {
  const protocol = { code: "ERR_FIRECRACKER_PROTOCOL", request: "GET /" };
  const version = '{"firecracker_version": "1.7.0"}';

  it("from a socket that is not there, or too long, is told apart: nothing was sent", async () => {
    for (const path of ["/nonexistent/api.sock", `/tmp/${"x".repeat(200)}`])
      await expect(new FirecrackerApi(path).start(never)).rejects.toMatchObject(
        { code: "ERR_FIRECRACKER_UNREACHABLE" },
      );
  });

  it.each([
    ["closes at once", ""],
    ["closes in the head", "HTTP/1.1 200 \r\nContent-Le"],
    ["closes in the body", 'HTTP/1.1 200 \r\nContent-Length: 90\r\n\r\n{"app_'],
    [
      "closes in a chunk",
      'HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"app_',
    ],
    ["speaks no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"],
    [
      "sends nonsense chunks",
      "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    [
      "has two lengths",
      "HTTP/1.1 200 \r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
    [
      "changes the protocol",
      "HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ["has a head without an end", `HTTP/1.1 200 \r\nX: ${"x".repeat(20_000)}`],
    ["answers no JSON", firecrackerReply(200, "<html>")],
    [
      "answers bytes that are no text",
      firecrackerReply(200, "x").replace("x", "\u00ff"),
    ],
    ["answers another shape", firecrackerReply(200, "[]")],
    ["leaves out what is required", firecrackerReply(200, version)],
    [
      "answers a state that there is not",
      firecrackerReply(200, JSON.stringify({ ...instance, state: "Gone" })),
    ],
    ["redirects", firecrackerReply(302, "")],
    ["answers nothing where there is a value", firecrackerReply(204)],
  ])("of one that %s", async (_what, bytes) => {
    const { socketPath, connections } = await rawApi((socket) =>
      socket.end(bytes, "latin1"),
    );
    await expect(
      new FirecrackerApi(socketPath).describe(never),
    ).rejects.toMatchObject(protocol);
    expect(connections()).toBe(1);
  });

  it("of one that answers a value where there is none", async () => {
    const { socketPath } = await fakeApi(() => ({ status: 200, body: "{}" }));
    await expect(
      new FirecrackerApi(socketPath).start(never),
    ).rejects.toMatchObject({ code: "ERR_FIRECRACKER_PROTOCOL" });
  });

  it("is not waited for when it has no end", async () => {
    let sent = 0;
    const { socketPath } = await rawApi((socket) => {
      socket.write("HTTP/1.1 200 \r\nContent-Length: 99999999999\r\n\r\n");
      const piece = Buffer.alloc(64 * 1024, "x");
      const flood = (): void => {
        while (!socket.destroyed && socket.write(piece)) sent += piece.length;
      };
      socket.on("drain", flood);
      flood();
    });
    await expect(
      new FirecrackerApi(socketPath).describe(never),
    ).rejects.toMatchObject(protocol);
    expect(sent).toBeLessThan(8 * 2 ** 20);
  });

  it.each([
    ["says nothing", ""],
    [
      "stops in its answer",
      'HTTP/1.1 200 \r\nContent-Length: 90\r\n\r\n{"app_',
    ],
    ["only says that it goes on", "HTTP/1.1 100 \r\n\r\n"],
  ])("in time of one that %s is an error of its own", async (_what, bytes) => {
    let hungUp = false;
    const { socketPath } = await rawApi((socket) => {
      socket.on("close", () => (hungUp = true));
      socket.write(bytes);
    });
    await expect(
      new FirecrackerApi(socketPath, { replyMs: 50 }).describe(never),
    ).rejects.toMatchObject({ code: "ERR_FIRECRACKER_TIMEOUT" });
    await expect.poll(() => hungUp).toBe(true);
  });

  it("is waited for longer when a snapshot is made", async () => {
    const { socketPath } = await rawApi((socket) => {
      setTimeout(() => socket.write(firecrackerReply(204)), 100);
    });
    const api = new FirecrackerApi(socketPath, { replyMs: 20 });
    await expect(api.pause(never)).rejects.toMatchObject({
      code: "ERR_FIRECRACKER_TIMEOUT",
    });
    await api.createSnapshot(snapshot, never);
    await api.loadSnapshot(load, never);
  });

  it("is wanted any more after an abort", async () => {
    const { socketPath, connections } = await rawApi(() => undefined);
    const api = new FirecrackerApi(socketPath);
    const abort = new AbortController();
    const answer = api.describe(abort.signal);
    setTimeout(() => abort.abort(), 20);
    await expect(answer).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    await expect(api.describe(abort.signal)).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
    expect(connections()).toBe(1);
  });

  it("leaves no listener on its caller's signal", async () => {
    const { socketPath } = await fakeApi();
    const { signal } = new AbortController();
    const api = new FirecrackerApi(socketPath);
    await api.start(signal);
    await api.describe(signal).catch((error: unknown) => {
      expect(isBangerError(error)).toBe(true);
    });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
