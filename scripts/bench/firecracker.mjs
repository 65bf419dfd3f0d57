// What the driver of Firecracker adds: from an API socket that answers to an accepted InstanceStart, on the contract server, against the
// same requests sent by a bare client that looks at nothing but the status.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./install.mjs";
import { interleave, table } from "./measure.mjs";

const id = "00be0c000000";

export async function firecracker(quick) {
  const directory = mkdtempSync(join(tmpdir(), "banger-bench-fc-"));
  const clean = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", clean);
  try {
    const settings = JSON.stringify({ guest: "none" });
    execFileSync(
      process.execPath,
      [
        join(root, "scripts/bench/provide-firecracker.mjs"),
        directory,
        settings,
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const driver = await driverClient(directory);
    const bare = (socket, requests) => sendBare(socket, requests);
    for (const [state, warmUp] of [
      ["fresh", 0],
      ["warmed up by 40 requests", 40],
    ]) {
      const round = variants(directory, { driver, bare }, warmUp);
      // The first of each compiles what the others then use.
      await interleave(2, round);
      table(
        `Firecracker, API socket ready to InstanceStart accepted, 9 requests (contract server, ${state}, no guest)`,
        await interleave(quick ? 7 : 25, round),
        "bare",
      );
    }
  } finally {
    process.removeListener("exit", clean);
    clean();
  }
}

function variants(directory, clients, warmUp) {
  return Object.fromEntries(
    Object.entries(clients).map(([name, send]) => [
      name,
      () => measured(directory, send, warmUp),
    ]),
  );
}

/** One VMM, from its socket on. @returns ms */
async function measured(directory, send, warmUp) {
  const vm = mkdtempSync(join(directory, "vm-"));
  const socket = join(vm, "api.sock");
  const vmm = spawn(
    join(directory, "firecracker"),
    ["--id", id, "--api-sock", socket],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const ended = new Promise((resolve) => vmm.once("exit", resolve));
  try {
    while (!(await answers(socket))) {
      if (vmm.exitCode !== null) throw new Error("the contract server ended");
      await sleep(1);
    }
    const bodies = filesOf(vm);
    const harmless = bodies.filter(({ put }) => put === "machine-config");
    for (let sent = 0; sent < warmUp; sent++) await sendBare(socket, harmless);
    const start = performance.now();
    await send(socket, bodies);
    return performance.now() - start;
  } finally {
    vmm.kill("SIGKILL");
    await ended;
    rmSync(vm, { recursive: true, force: true });
  }
}

function answers(path) {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** The machine that is described: two drives, no interface, as TAP devices need root. */
function filesOf(vm) {
  const file = (name) => {
    const path = join(vm, name);
    writeFileSync(path, "");
    return path;
  };
  mkdirSync(vm, { recursive: true });
  const drive = (name, isRoot) => ({
    drive_id: name,
    path_on_host: file(name),
    is_root_device: isRoot,
    is_read_only: false,
    cache_type: "Writeback",
    io_engine: "Sync",
  });
  const sent = (put, path, body) => ({ put, path, body });
  return [
    sent("logger", "/logger", { log_path: file("log"), level: "Warning" }),
    sent("metrics", "/metrics", { metrics_path: file("metrics") }),
    sent("machine-config", "/machine-config", {
      vcpu_count: 1,
      mem_size_mib: 128,
      smt: false,
    }),
    sent("boot-source", "/boot-source", {
      kernel_image_path: file("kernel"),
      initrd_path: file("initrd"),
      boot_args: "console=ttyS0",
    }),
    sent("drive", "/drives/root", drive("root", true)),
    sent("drive", "/drives/work", drive("work", false)),
    sent("vsock", "/vsock", { guest_cid: 3, uds_path: join(vm, "vsock.sock") }),
    sent("entropy", "/entropy", {}),
    sent("start", "/actions", { action_type: "InstanceStart" }),
  ];
}

async function driverClient() {
  const load = (name) =>
    import(join(root, "host/dist/vmm/firecracker", `${name}.js`));
  const { FirecrackerApi } = await load("api-client");
  const { sendRequest } = await load("machine-requests");
  return async (socket, requests) => {
    const { signal } = new AbortController();
    const api = new FirecrackerApi(socket);
    for (const request of requests) await sendRequest(api, request, signal);
  };
}

async function sendBare(socketPath, requests) {
  for (const { path, body } of requests) {
    const text = JSON.stringify(body);
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    };
    const status = await new Promise((resolve, reject) => {
      const options = {
        socketPath,
        method: "PUT",
        path,
        headers,
        agent: false,
      };
      const sent = httpRequest(options, (answer) => {
        answer.resume();
        answer.once("end", () => resolve(answer.statusCode));
      });
      sent.once("error", reject);
      sent.end(text);
    });
    if (status !== 204) throw new Error(`${path} was answered with ${status}`);
  }
}
