import { access, chmod, mkdir, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it, onTestFinished } from "vitest";
import { FirecrackerKernels } from "../../../src/vmm/firecracker/kernels.js";
import { FirecrackerProbe } from "../../../src/vmm/firecracker/firecracker-probe.js";
import { FirecrackerProgram } from "../../../src/vmm/firecracker/program.js";
import {
  findByArgument,
  identifyProcess,
} from "../../../src/vmm/process-identity.js";
import { fakeFirecracker } from "./fake-firecracker.js";

const never = new AbortController().signal;

type Fake = Awaited<ReturnType<typeof fakeFirecracker>>;

async function probeOf(
  behaviour: Parameters<typeof fakeFirecracker>[0],
): Promise<
  Fake & {
    probe: FirecrackerProbe;
    directory: string;
    pids: () => Promise<number[]>;
  }
> {
  const fake = await fakeFirecracker(behaviour);
  const { commands, program: path } = fake;
  const directory = path.replace(/firecracker$/, "probe");
  const kernelsDirectory = `${directory}-kernels`;
  const probe = new FirecrackerProbe({
    commands,
    program: new FirecrackerProgram({ commands, program: path }),
    kernels: new FirecrackerKernels({ commands, kernelsDirectory }),
    directory,
  });
  const pids = async (): Promise<number[]> =>
    (await findByArgument(`${directory}/api.sock`)).map(({ pid }) => pid);
  return { ...fake, probe, directory, pids };
}

async function expectNothing(
  directory: string,
  pids: () => Promise<number[]>,
): Promise<void> {
  expect(await pids()).toEqual([]);
  await expect(access(directory)).rejects.toMatchObject({ code: "ENOENT" });
}

describe("FirecrackerProbe", () => {
  it("sees the mark, and leaves nothing", async () => {
    const { probe, launch, directory, pids, requests } = await probeOf({
      marks: true,
    });
    expect(await probe.boot(launch.image, never)).toBeUndefined();
    await expectNothing(directory, pids);
    const [machine, source, start] = await requests();
    expect(machine?.body).toMatchObject({ vcpu_count: 1, mem_size_mib: 128 });
    expect(source?.body?.["boot_args"]).toMatch(
      /^console=ttyS0 quiet panic=-1 reboot=k pci=off .* banger\.probe=1$/,
    );
    expect(start?.url).toBe("/actions");
  });

  it.each([
    [{ exits: true }, "cannot do it"],
    [{ at: 1, does: "refuse" }, "no, because"],
    [{ at: 2, does: "end" }, "did not boot"],
  ] as const)("says why it did not boot: %j", async (behaviour, reason) => {
    const { probe, launch, directory, pids } = await probeOf(behaviour);
    expect(await probe.boot(launch.image, never)).toContain(reason);
    await expectNothing(directory, pids);
  });

  it("says apart that it never came to a boot", async () => {
    const { probe, launch, directory, pids } = await probeOf({
      version: "1.7.0",
    });
    await expect(probe.boot(launch.image, never)).rejects.toMatchObject({
      code: "ERR_FIRECRACKER_TOO_OLD",
    });
    await expectNothing(directory, pids);
  });

  it("can be cancelled, and leaves nothing", async () => {
    const { probe, launch, directory, pids, requests } = await probeOf({});
    const abort = new AbortController();
    const boot = probe.boot(launch.image, abort.signal);
    boot.catch(() => undefined);
    while ((await requests()).length < 3) await sleep(5);
    abort.abort();
    await expect(boot).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    await expectNothing(directory, pids);
  });

  it("removes what a probe before has left", async () => {
    const { probe, launch, directory, pids, program } = await probeOf({
      marks: true,
    });
    await mkdir(directory);
    const socket = `${directory}/api.sock`;
    const args = ["--id", "banger-probe", "--api-sock", socket];
    const left = spawn(program, args, { stdio: "ignore" });
    const reader = spawn("/bin/sh", ["-c", "sleep 1000; true", socket]);
    onTestFinished(() => {
      left.kill("SIGKILL");
      reader.kill("SIGKILL");
    });
    await Promise.all([once(left, "spawn"), once(reader, "spawn")]);
    await writeFile(`${directory}/other`, "");
    await chmod(directory, 0o700);
    expect(await probe.boot(launch.image, never)).toBeUndefined();
    expect(await identifyProcess(reader.pid ?? 0)).toBeDefined();
    reader.kill("SIGKILL");
    await once(reader, "exit");
    await expectNothing(directory, pids);
    expect(await identifyProcess(left.pid ?? 0)).toBeUndefined();
  });

  it("depends on the file and its version", async () => {
    const { probe, program } = await probeOf({});
    expect(await probe.identity()).toBe(`${program} 1.17.0`);
  });
});
