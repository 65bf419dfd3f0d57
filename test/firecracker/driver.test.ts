import { lstat, mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { VmHandles, VmmLaunch } from "@banger/core";
import {
  fakeImage,
  fakeInstall,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { ExecaCommandRunner } from "../../host/src/commands/execa-command-runner.js";
import { FirecrackerDriver } from "../../host/src/vmm/firecracker/firecracker-driver.js";
import { FirecrackerKernels } from "../../host/src/vmm/firecracker/kernels.js";
import { FirecrackerProgram } from "../../host/src/vmm/firecracker/program.js";
import {
  provideFirecracker,
  type ProvidedFirecracker,
} from "./provide-firecracker.js";
import type { FaultEffect, FirecrackerSettings } from "./settings.js";

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;

/** A VM without a network, and the driver for it. */
async function setUp(options: {
  jailed: boolean;
  settings?: FirecrackerSettings;
}): Promise<{
  driver: FirecrackerDriver;
  firecracker: ProvidedFirecracker;
  launch: VmmLaunch;
}> {
  const directory = await mkdtemp(join(tmpdir(), "banger-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const firecracker = await provideFirecracker(join(directory, "bin"), {
    guest: "none",
    ...options.settings,
  });
  const commands = new ExecaCommandRunner();
  const program = firecracker.firecracker;
  const install = fakeInstall({
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    stateDirectory: directory,
  });
  const privileged = new FakePrivileged(commands, install);
  if (!isRoot) privileged.kind = "none";
  const driver = new FirecrackerDriver({
    privileged,
    logger: memoryLogger(),
    program: new FirecrackerProgram({ commands, program }),
    kernels: new FirecrackerKernels({
      commands,
      kernelsDirectory: join(directory, "kernels"),
    }),
    settings: {
      firecracker: program,
      jailer: firecracker.jailer,
      jailerEnabled: options.jailed,
      jailBase: join(directory, "jails"),
    },
  });
  const id = fakeVmId(0x77);
  const own = join(directory, "vms", id);
  await mkdir(own, { recursive: true, mode: 0o700 });
  const image = fakeImage();
  const kernel = join(directory, "images", image.id, "vmlinuz");
  await mkdir(dirname(kernel), { recursive: true });
  const [initrdPath, disk] = [join(own, "boot.initrd"), join(own, "root.raw")];
  for (const path of [kernel, initrdPath, disk])
    await writeFile(path, Buffer.alloc(4096), { mode: 0o600 });
  const plain = fakeVm({
    id,
    runtime: { directory: own, runDirectory: directory },
  });
  const vm = {
    ...plain,
    runtime: { ...plain.runtime, ...driver.names(plain) },
  };
  const launch: VmmLaunch = {
    vm,
    image: { ...image, files: { ...image.files, kernel } },
    accel: "kvm",
    initrdPath,
    machine: {
      vcpus: 3,
      memoryMiB: 256,
      drives: { root: { path: disk, format: "raw", readOnly: false } },
      nics: {},
      egress: {},
      kernelArgs: {},
      channels: {},
    },
  };
  onTestFinished(() => driver.kill(vm, undefined));
  return { driver, firecracker, launch };
}

async function expectNothing(
  driver: FirecrackerDriver,
  { vm }: VmmLaunch,
  handles: VmHandles | undefined,
): Promise<void> {
  expect(await driver.find(vm, handles)).toBeUndefined();
  const { jailDirectory, runDirectory } = vm.runtime;
  for (const path of [
    jailDirectory,
    `${runDirectory}/api.sock`,
    `${runDirectory}/vsock.sock`,
  ])
    if (path !== undefined)
      await expect(lstat(path)).rejects.toMatchObject({ code: "ENOENT" });
}

describe.each(isRoot ? [false, true] : [false])(
  "FirecrackerDriver, jailed: %s",
  (jailed) => {
    it("sends what the description allows, and finds and ends what it started", async () => {
      const { driver, firecracker, launch } = await setUp({ jailed });
      const { vm } = launch;
      const handles = await driver.launch(launch, never);
      const requests = firecracker.requests();
      expect(requests.map(({ status }) => status)).toEqual(
        requests.map(() => 204),
      );
      expect(requests.at(-1)?.body).toEqual({ action_type: "InstanceStart" });
      expect(await driver.find(vm, undefined)).toEqual(handles);
      expect(await driver.find(vm, handles)).toEqual(handles);
      const usage = await driver.usage(vm, handles, never);
      expect(usage?.io).toEqual({
        diskReadBytes: 0,
        diskWrittenBytes: 0,
        networkReceivedBytes: 0,
        networkSentBytes: 0,
      });
      await driver.kill(vm, handles);
      await expectNothing(driver, launch, handles);
    });

    it("leaves nothing when the process fails at any of its requests", async () => {
      const faults: readonly [path: string, effect: FaultEffect][] = [
        ["/logger", { kind: "half-reply" }],
        ["/boot-source", { kind: "garbage" }],
        ["/drives/root", { kind: "crash", when: "before" }],
        ["/vsock", { kind: "answer", status: 400, message: "no, because" }],
        ["/actions", { kind: "no-reply" }],
      ];
      for (const [path, effect] of faults) {
        const { driver, launch } = await setUp({
          jailed,
          settings: { faults: [{ method: "PUT", path, effect }] },
        });
        await expect(driver.launch(launch, never)).rejects.toMatchObject({
          code: "ERR_VMM_LAUNCH",
        });
        await expectNothing(driver, launch, undefined);
      }
    }, 60_000);
  },
);
