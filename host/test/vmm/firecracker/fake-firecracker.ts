import { chown, mkdir, readFile, writeFile } from "node:fs/promises";
import type { CommandRunner, Install, VmmLaunch, VmRecord } from "@banger/core";
import {
  fakeImage,
  fakeInstall,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../../src/commands/execa-command-runner.js";
import {
  FirecrackerDriver,
  type JailSettings,
} from "../../../src/vmm/firecracker/firecracker-driver.js";
import {
  jailRequests,
  type JailRequests,
} from "../../../src/vmm/firecracker/jail-requests.js";
import { FirecrackerKernels } from "../../../src/vmm/firecracker/kernels.js";
import { FirecrackerProgram } from "../../../src/vmm/firecracker/program.js";
import { processesOf } from "../../../src/vmm/firecracker/vm-process.js";
import { readCommandLines } from "../../../src/vmm/process-identity.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";
import { sampleLaunch, sampleMachine } from "../sample-launch.js";

/** What the fake does; each keeps running until it is killed unless it says otherwise. */
interface Behaviour {
  /** what it says of its version */
  readonly version?: string;
  /** never opens its API */
  readonly silent?: boolean;
  /** says something and ends at once */
  readonly exits?: boolean;
  /** says what a probe guest says, once it is started */
  readonly marks?: boolean;
  /** the request, counted from 0, that gets another answer: a refusal, none at all, or the end of the process */
  readonly at?: number;
  readonly does?: "refuse" | "hang" | "end";
}

/** The part of Firecracker that a driver needs, without a guest. Metrics are written as Firecracker does: not appended. */
const script = `
  const { openSync, writeSync, appendFileSync } = require("node:fs");
  const { createServer } = require("node:http");
  const args = process.argv.slice(2);
  if (args[0] === "--version") {
    console.log("Firecracker v" + behaviour.version + "\\n");
    process.exit(0);
  }
  console.log("fake console");
  if (behaviour.exits) {
    console.error("cannot do it");
    process.exit(1);
  }
  setInterval(() => {}, 1000);
  let count = 0;
  let metrics;
  const answer = (method, url, body, response) => {
    const index = count++;
    appendFileSync(requests, JSON.stringify({ method, url, body }) + "\\n");
    if (index === behaviour.at) {
      if (behaviour.does === "hang") return;
      if (behaviour.does === "end") process.exit(1);
      response.writeHead(400);
      return response.end(JSON.stringify({ fault_message: "no, because" }));
    }
    if (url === "/logger") writeSync(openSync(body.log_path, "r+"), "a warning\\n");
    if (url === "/metrics") metrics = openSync(body.metrics_path, "r+");
    if (body?.action_type === "FlushMetrics")
      writeSync(metrics, JSON.stringify({
        block: { read_bytes: 5, write_bytes: 7 },
        block_root: { read_bytes: 5, write_bytes: 7 },
        net: { rx_bytes_count: 11, tx_bytes_count: 13 },
      }) + "\\n");
    if (behaviour.marks && body?.action_type === "InstanceStart")
      console.log("[    0.4] BANGER-PROBE-OK\\r");
    response.writeHead(204);
    response.end();
  };
  if (!behaviour.silent)
    createServer((request, response) => {
      let text = "";
      request.on("data", (chunk) => (text += chunk));
      request.on("end", () =>
        answer(request.method, request.url, text === "" ? undefined : JSON.parse(text), response));
    }).listen(args[args.indexOf("--api-sock") + 1]);
`;

/** A request as the fake saw it. */
interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

/**
 * A VM with directories and a fake Firecracker for it; whatever of it is left is ended after the test.
 * @param owner of the install, whose all of it is; default: who runs the tests
 */
export async function fakeFirecracker(
  behaviour: Behaviour = {},
  settings: Partial<JailSettings> = {},
  owner: Install["owner"] = {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  },
): Promise<{
  vm: VmRecord;
  launch: VmmLaunch;
  driver: FirecrackerDriver;
  program: string;
  commands: CommandRunner;
  requests: () => Promise<readonly SeenRequest[]>;
  privileged: FakePrivileged;
  jailRequests: JailRequests;
}> {
  const directory = await temporaryDirectory();
  const program = `${directory}/firecracker`;
  const log = `${directory}/requests.jsonl`;
  await writeFile(log, "");
  const full = { version: "1.17.0", ...behaviour };
  const head = `const behaviour = ${JSON.stringify(full)}, requests = ${JSON.stringify(log)};`;
  await writeFile(program, `#!${process.execPath}\n${head}\n${script}`, {
    mode: 0o755,
  });
  const id = fakeVmId(7);
  const image = fakeImage();
  const state = `${directory}/state`;
  const own = `${state}/vms/${id}`;
  const images = `${state}/images/${image.id}`;
  for (const path of [own, images])
    await mkdir(path, { recursive: true, mode: 0o700 });
  for (const path of [`${state}/vms`, `${state}/images`])
    await chown(path, owner.uid, owner.gid);
  const disk = `${own}/root.raw`;
  const initrdPath = `${own}/boot.initrd`;
  const kernel = `${images}/vmlinuz`;
  const runDirectory = `${directory}/run`;
  await mkdir(runDirectory, { mode: 0o700 });
  const files = [disk, initrdPath, kernel];
  // The daemon that makes them would be another user than the tests'.
  if (owner.uid !== process.getuid?.())
    for (const name of [
      ...["console.log", "vmm.log", "firecracker.log", "firecracker.metrics"],
    ])
      files.push(`${own}/${name}`);
  for (const file of files) await writeFile(file, file, { mode: 0o600 });
  for (const path of [state, own, images, runDirectory, ...files])
    await chown(path, owner.uid, owner.gid);
  const commands = new ExecaCommandRunner();
  const install = fakeInstall({ owner, stateDirectory: state });
  const privileged = new FakePrivileged(commands, install);
  if (process.getuid?.() !== 0) privileged.kind = "none";
  const all = {
    firecracker: program,
    jailer: "jailer",
    jailerEnabled: false,
    jailBase: `${directory}/jails`,
    ...settings,
  };
  const driver = new FirecrackerDriver({
    privileged,
    logger: memoryLogger(),
    program: new FirecrackerProgram({ commands, program }),
    settings: all,
    kernels: new FirecrackerKernels({
      commands,
      kernelsDirectory: `${state}/kernels`,
    }),
  });
  const plain = fakeVm({
    id,
    runtime: { directory: own, runDirectory },
  });
  const vm = {
    ...plain,
    runtime: { ...plain.runtime, ...driver.names(plain) },
  };
  onTestFinished(async () => {
    for (const { pid } of await processesOf(vm, readCommandLines))
      process.kill(pid, "SIGKILL");
  });
  const launch = sampleLaunch(
    {
      accel: "kvm",
      initrdPath,
      image: { ...image, files: { ...image.files, kernel } },
      machine: sampleMachine({
        drives: { root: { path: disk, format: "raw", readOnly: false } },
        nics: {
          net0: {
            mac: "02:00:00:00:00:01",
            backend: { kind: "tap", device: "tap-1" },
          },
        },
      }),
    },
    vm,
  );
  const requests = async (): Promise<readonly SeenRequest[]> =>
    (await readFile(log, "utf8"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as SeenRequest);
  return {
    ...{ vm, launch, driver, program, commands, requests, privileged },
    jailRequests: jailRequests(all),
  };
}
