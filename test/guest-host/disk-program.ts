// Makes or releases the root disk of one VM on a host's own device-mapper, as a daemon that has just begun does it:
//   node disk-program.cjs DIRECTORY ID ensure|release [DEATH]
// DIRECTORY has the image and belongs to who the daemon runs as. The VM's record is a file in the VM's directory, written as the store would write it. With DEATH the
// process kills itself after that many commands that change devices. Prints what is in the record, or the error's code.
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  isBangerError,
  type Command,
  type CommandResult,
  type CommandRunner,
  type VmRuntime,
} from "@banger/core";
import {
  fakeImage,
  fakeInstall,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { ExecaCommandRunner } from "../../host/src/commands/execa-command-runner.js";
import { diskRequests } from "../../host/src/disks/disk-requests.js";
import { InstalledRootDisks } from "../../host/src/disks/installed-root-disks.js";
import { RootDiskProbe } from "../../host/src/disks/root-disk-probe.js";
import { InProcessPrivileged } from "../../host/src/privileged/in-process-privileged.js";

/** Does a command change devices? */
function changes({ file, args }: Command): boolean {
  const verb = args[0] ?? "";
  return (
    (file === "dmsetup" && ["create", "remove"].includes(verb)) ||
    (file === "losetup" && !["--find", "--list"].includes(verb))
  );
}

/** Kills this process when so many commands have changed something. */
class MortalCommandRunner implements CommandRunner {
  readonly #commands = new ExecaCommandRunner();
  #left: number;

  constructor(left: number) {
    this.#left = left;
  }

  find(program: string): Promise<string | undefined> {
    return this.#commands.find(program);
  }

  async run(command: Command): Promise<CommandResult> {
    const result = await this.#commands.run(command);
    if (changes(command) && --this.#left === 0)
      process.kill(process.pid, "SIGKILL");
    return result;
  }
}

async function main(argv: readonly string[]): Promise<void> {
  const [directory = "", number = "", verb = "", death = "0"] = argv;
  const id = fakeVmId(Number(number));
  const own = join(directory, "vms", id);
  await mkdir(own, { recursive: true });
  const recordFile = join(own, "record.json");
  const recorded = JSON.parse(
    await readFile(recordFile, "utf8").catch(() => "{}"),
  ) as Partial<VmRuntime>;
  let vm = fakeVm({
    id,
    runtime: { directory: own, rootDisk: "snapshot", ...recorded },
  });
  const rootfs = join(directory, "images", vm.imageId, "rootfs.ext4");
  const image = fakeImage({
    id: vm.imageId,
    files: { ...fakeImage().files, rootfs },
  });
  const commands = new MortalCommandRunner(Number(death));
  const logger = memoryLogger();
  const { uid, gid } = await stat(directory);
  const privileged = new InProcessPrivileged({
    install: fakeInstall({ owner: { uid, gid }, stateDirectory: directory }),
    commands,
    logger,
  });
  const requests = diskRequests({ jailBase: join(directory, "jail") });
  const disks = new InstalledRootDisks({
    commands,
    logger,
    privileged,
    requests,
    rootDiskProbe: new RootDiskProbe({
      ...{ privileged, requests, jailerEnabled: true },
    }),
    stateDirectory: directory,
  });
  if (verb === "ensure")
    await disks.ensure(
      vm,
      image,
      async (names) => {
        vm = { ...vm, runtime: { ...vm.runtime, ...names } };
        await writeFile(recordFile, JSON.stringify(vm.runtime));
      },
      new AbortController().signal,
    );
  else await disks.release(vm);
  const { baseLoop, cowLoop, dmName } = vm.runtime;
  console.log(JSON.stringify({ baseLoop, cowLoop, dmName }));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  if (!isBangerError(error)) throw error;
  console.log(JSON.stringify({ code: error.code, details: error.details }));
  process.exitCode = 1;
});
