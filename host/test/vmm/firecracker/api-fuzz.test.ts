import { createServer, type Socket } from "node:net";
import { isBangerError } from "@banger/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { FirecrackerApi } from "../../../src/vmm/firecracker/api-client.js";
import { parseReply } from "../../../src/vmm/firecracker/api-reply.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";
import { firecrackerReply } from "./fake-api.js";

type Random = (below: number) => number;

/** Repeatable: a failing run names its seed. */
function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const operations = [
  "GET /",
  "GET /version",
  "GET /vm/config",
  "GET /balloon",
  "GET /balloon/statistics",
  "PUT /actions",
] as const;

const limiter = { ops: { size: 1, refill_time: 2, one_time_burst: null } };
const values: readonly unknown[] = [
  { app_name: "Firecracker", id: "otter", state: "Running", vmm_version: "1" },
  { firecracker_version: "1.17.0-dev" },
  {
    balloon: { amount_mib: 1, deflate_on_oom: false },
    drives: [{ drive_id: "root", is_root_device: true, rate_limiter: limiter }],
    "boot-source": { kernel_image_path: "/k", boot_args: null },
    "machine-config": { vcpu_count: 1, mem_size_mib: 128, huge_pages: "2M" },
    metrics: { metrics_path: "/m", properties: { a: "b" } },
    "network-interfaces": [{ iface_id: "eth0", host_dev_name: "t", mtu: 1500 }],
    vsock: { guest_cid: 3, uds_path: "/v" },
  },
  { amount_mib: 64, deflate_on_oom: true },
  { target_pages: 1, actual_pages: 2, target_mib: 3, actual_mib: 4 },
  { fault_message: "Invalid request method and/or path" },
];
const bodies = values.map((value) => JSON.stringify(value));

const tokens = [
  "\r\n",
  "\r\n\r\n",
  ": ",
  "HTTP/1.1 200 \r\n",
  "HTTP/1.1 100 \r\n\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: -1\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: h2c\r\n",
  "ffffffff\r\n",
  "0\r\n\r\n",
  "null",
  "1e999",
  '{"__proto__": {}}',
  "[[[[",
  '"',
  "\u0000",
  "\u00ff",
].map((text) => Buffer.from(text, "latin1"));

/** Bits flipped; pieces cut out, doubled, put in. */
function mutate(original: Buffer, random: Random): Buffer {
  let bytes = original;
  for (let change = random(5); change >= 0; change--) {
    const at = random(bytes.length + 1);
    const before = bytes.subarray(0, at);
    const rest = bytes.subarray(at);
    const choice = random(6);
    if (choice === 0)
      bytes = Buffer.concat([before, rest.subarray(1 + random(20))]);
    else if (choice === 1)
      bytes = Buffer.concat([before, rest.subarray(0, random(60)), rest]);
    else if (choice === 2) bytes = before;
    else if (choice === 3)
      bytes = Buffer.concat([before, tokens[random(tokens.length)]!, rest]);
    else if (at < bytes.length) {
      bytes = Buffer.from(bytes);
      bytes[at] = bytes[at]! ^ (1 << random(8));
    }
  }
  return bytes;
}

/** A whole answer: with a length, chunked, or ended by the end of the connection. */
function answer(random: Random): Buffer {
  const status = [200, 200, 200, 204, 400, 500][random(6)]!;
  const body = bodies[random(bodies.length)]!;
  switch (random(4)) {
    case 0: {
      const half = random(body.length);
      const chunks = [body.slice(0, half), body.slice(half), ""];
      const coded = chunks
        .map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
        .join("");
      return Buffer.from(
        `HTTP/1.1 ${String(status)} OK\r\nTransfer-Encoding: chunked\r\n\r\n${coded}`,
      );
    }
    case 1:
      return Buffer.from(`HTTP/1.1 ${String(status)} \r\n\r\n${body}`);
    default:
      return Buffer.from(
        firecrackerReply(status, status === 204 ? undefined : body),
      );
  }
}

class Tally {
  readonly #counts = new Map<string, number>();

  add(outcome: string): void {
    this.#counts.set(outcome, (this.#counts.get(outcome) ?? 0) + 1);
  }

  addError(error: unknown, seed: number): void {
    if (!isBangerError(error))
      throw new Error(`seed ${seed}`, { cause: error });
    this.add(error.code);
  }

  get outcomes(): readonly string[] {
    return [...this.#counts.keys()].sort();
  }
}

describe("mutated answers", () => {
  it("are values or typed errors to the parser, 100,000 of them", () => {
    const tally = new Tally();
    for (let seed = 0; seed < 100_000; seed++) {
      const random = randomFrom(seed);
      const operation = operations[random(operations.length)]!;
      const original = Buffer.from(bodies[random(bodies.length)]!);
      const body = mutate(original, random);
      const status = [200, 200, 200, 204, 400, 99 + random(600)][random(6)]!;
      try {
        parseReply(operation, operation, { status, body });
        tally.add("value");
      } catch (error) {
        tally.addError(error, seed);
      }
    }
    // Every branch was really met.
    expect(tally.outcomes).toEqual([
      "ERR_FIRECRACKER_API",
      "ERR_FIRECRACKER_PROTOCOL",
      "value",
    ]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  }, 60_000);

  it("leave a client over a socket that always settles and still works, 20,000 of them", async () => {
    const path = `${await temporaryDirectory()}/api.sock`;
    const open = new Set<Socket>();
    let next: (socket: Socket) => void = () => undefined;
    const server = createServer((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      socket.on("error", () => undefined);
      socket.once("data", () => next(socket));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    const api = new FirecrackerApi(path, { replyMs: 2_000 });
    const never = new AbortController().signal;
    const calls = [
      () => api.describe(never),
      () => api.version(never),
      () => api.vmConfiguration(never),
      () => api.balloon(never),
      () => api.balloonStatistics(never),
      () => api.start(never),
    ];
    const tally = new Tally();
    for (let seed = 0; seed < 20_000; seed++) {
      const random = randomFrom(seed);
      const bytes = mutate(answer(random), random);
      const cut = random(bytes.length + 1);
      next = (socket) => {
        socket.write(bytes.subarray(0, cut));
        if (random(8) === 0) socket.destroy();
        else setImmediate(() => socket.end(bytes.subarray(cut)));
      };
      try {
        await calls[random(calls.length)]!();
        tally.add("value");
      } catch (error) {
        tally.addError(error, seed);
      }
    }
    expect(tally.outcomes).toEqual([
      "ERR_FIRECRACKER_API",
      "ERR_FIRECRACKER_PROTOCOL",
      "value",
    ]);
    next = (socket) => socket.write(firecrackerReply(200, bodies[0]));
    expect(await api.describe(never)).toEqual(values[0]);
    await expect.poll(() => open.size).toBe(0);
  }, 120_000);
});
