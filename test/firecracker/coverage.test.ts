import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FirecrackerApi } from "../../host/src/vmm/firecracker/api-client.js";
import { repository } from "../install.js";
import {
  provideFirecracker,
  type ProvidedFirecracker,
} from "./provide-firecracker.js";
import { RunningFirecracker } from "./running-firecracker.js";

/** What the description has and we never send. */
const unused: Readonly<Record<string, string>> = {
  "PATCH /balloon/statistics": "how often it is counted is said once, with PUT",
  "PATCH /balloon/hinting/start": "the balloon reports free pages by itself",
  "GET /balloon/hinting/status": "see PATCH /balloon/hinting/start",
  "PATCH /balloon/hinting/stop": "see PATCH /balloon/hinting/start",
  "PUT /cpu-config": "a guest gets the host's CPU as it is",
  "PUT /pmem/{id}": "disks are block devices on every VMM",
  "PATCH /pmem/{id}": "see PUT /pmem/{id}",
  "GET /machine-config": "GET /vm/config has it",
  "PATCH /machine-config": "the machine is known when it is first described",
  "PUT /mmds": "the guest's configuration travels in the initrd",
  "PATCH /mmds": "see PUT /mmds",
  "GET /mmds": "see PUT /mmds",
  "PUT /mmds/config": "see PUT /mmds",
  "PUT /hotplug/memory": "memory changes while a VM is stopped",
  "PATCH /hotplug/memory": "see PUT /hotplug/memory",
  "GET /hotplug/memory": "see PUT /hotplug/memory",
};

let provided: ProvidedFirecracker;
let file: (name: string) => string;
const servers: RunningFirecracker[] = [];
const { signal } = new AbortController();

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-test-"));
  provided = await provideFirecracker(directory, { guest: "none" });
  file = (name) => join(directory, name);
  writeFileSync(file("vmlinux"), "\x7fELF and so on", "latin1");
  writeFileSync(file("disk"), Buffer.alloc(1024 * 1024));
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(provided.directory, { recursive: true, force: true });
});

async function start(id: string): Promise<FirecrackerApi> {
  const socket = file(`${id}.sock`);
  servers.push(
    await RunningFirecracker.start(
      provided.firecracker,
      ["--id", id, "--api-sock", socket],
      socket,
    ),
  );
  return new FirecrackerApi(socket);
}

/** Method and path of every operation of the description, as its authors write them. */
function described(): readonly string[] {
  const { paths } = parse(
    readFileSync(
      join(repository, "host/firecracker/api-1.17-dev.yaml"),
      "utf8",
    ),
  ) as { paths: Record<string, Record<string, unknown>> };
  return Object.entries(paths).flatMap(([path, verbs]) =>
    Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`),
  );
}

/** The operation that a request was. */
function operationOf(method: string, path: string): string {
  const found = described().find((operation) => {
    const [verb, pattern = ""] = operation.split(" ");
    const segments = pattern.replace(/\{\w+\}/g, "[^/]+");
    return verb === method && new RegExp(`^${segments}$`).test(path);
  });
  if (found === undefined)
    throw new Error(`${method} ${path} is not described`);
  return found;
}

it("sends every operation of the description but those that are listed, and each is accepted", async () => {
  const api = await start("whole");
  await api.describe(signal);
  await api.version(signal);
  await api.putLogger({ log_path: file("log"), level: "Info" }, signal);
  await api.putMetrics({ metrics_path: file("metrics") }, signal);
  await api.putMachineConfiguration(
    { vcpu_count: 2, mem_size_mib: 256, smt: false },
    signal,
  );
  const kernel = { kernel_image_path: file("vmlinux") };
  await api.putBootSource({ ...kernel, boot_args: "console=ttyS0" }, signal);
  const drive = { is_root_device: false, is_read_only: false };
  for (const id of ["root", "work"])
    await api.putDrive(
      { ...drive, drive_id: id, path_on_host: file("disk") },
      signal,
    );
  await api.putVsock({ guest_cid: 3, uds_path: file("vsock") }, signal);
  await api.putEntropy({}, signal);
  await api.putSerial({ serial_out_path: file("serial") }, signal);
  await api.putBalloon(
    { amount_mib: 0, deflate_on_oom: true, stats_polling_interval_s: 1 },
    signal,
  );
  // There is no TAP device here: that much the server looks at behind the schema.
  const nic = { iface_id: "net0", host_dev_name: "tap-none", mtu: 1500 };
  await expect(api.putNetworkInterface(nic, signal)).rejects.toMatchObject({
    code: "ERR_FIRECRACKER_API",
    status: 400,
    message: expect.stringContaining("tap-none") as string,
  });
  await api.vmConfiguration(signal);
  await api.start(signal);
  await api.balloon(signal);
  await api.balloonStatistics(signal);
  await api.patchBalloon({ amount_mib: 16 }, signal);
  await api.patchDrive(
    { drive_id: "work", path_on_host: file("disk") },
    signal,
  );
  await expect(
    api.patchNetworkInterface({ iface_id: "net0" }, signal),
  ).rejects.toMatchObject({ code: "ERR_FIRECRACKER_API", status: 400 });
  await api.flushMetrics(signal);
  await api.sendCtrlAltDel(signal);
  await api.pause(signal);
  const snapshot = { mem_file_path: file("mem"), snapshot_path: file("state") };
  await api.createSnapshot({ ...snapshot, snapshot_type: "Full" }, signal);
  await api.resume(signal);
  const other = await start("restored");
  const { mem_file_path: backend_path, snapshot_path } = snapshot;
  await other.loadSnapshot(
    {
      snapshot_path,
      mem_backend: { backend_type: "File", backend_path },
      resume_vm: true,
      vsock_override: { uds_path: file("vsock-restored") },
    },
    signal,
  );

  const sent = provided
    .requests()
    .map(({ method, path }) => operationOf(method, path));
  const all = [...new Set(sent), ...Object.keys(unused)];
  // Each of the description once: neither sent and listed as unused, nor forgotten.
  expect(all.sort()).toEqual([...described()].sort());
});

it("has a reason for each that is not sent", () => {
  for (const [operation, reason] of Object.entries(unused)) {
    expect(described()).toContain(operation);
    expect(reason).toMatch(/^\S.{10,}/);
  }
});
