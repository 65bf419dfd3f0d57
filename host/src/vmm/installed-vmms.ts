import type { CommandRunner, HostFacts, Logger } from "@banger/core";
import type { FirecrackerSettings } from "../config/load-config.js";
import type { Paths } from "../paths.js";
import { FirecrackerDriver } from "./firecracker/firecracker-driver.js";
import { FirecrackerProbe } from "./firecracker/firecracker-probe.js";
import { jailBaseProblem } from "./firecracker/jail-directory.js";
import { FirecrackerKernels } from "./firecracker/kernels.js";
import { otherBaseHint } from "./firecracker/jail-errors.js";
import { FirecrackerProgram } from "./firecracker/program.js";
import { KvmProbe } from "./kvm-probe.js";
import { QemuDriver } from "./qemu-driver.js";
import { QemuProbe } from "./qemu-probe.js";
import { QemuProgram } from "./qemu-program.js";
import type { InstalledVmm, VmmProgram } from "./vmm-drivers.js";

export interface VmmDeps {
  readonly commands: CommandRunner;
  readonly logger: Logger;
  readonly hostFacts: HostFacts;
  readonly paths: Paths;
  readonly firecracker: FirecrackerSettings;
}

/** Every VMM that this program can drive, the one that `auto` prefers first. */
export function installedVmms(deps: VmmDeps): readonly InstalledVmm[] {
  return [installedFirecracker(deps), installedQemu(deps)];
}

function installedFirecracker(deps: VmmDeps): InstalledVmm {
  const { commands, logger, hostFacts, paths, firecracker: settings } = deps;
  const program = new FirecrackerProgram({
    commands,
    program: settings.program,
  });
  const { kernelsDirectory, stateDirectory } = paths;
  const kernels = new FirecrackerKernels({ commands, kernelsDirectory });
  const { jailer = "jailer", jailBase = `${stateDirectory}/jail` } = settings;
  const isJailed = hostFacts.isRoot && settings.jailerEnabled;
  const look = async (signal: AbortSignal): Promise<VmmProgram> => {
    const found = await program.look(signal);
    if (found.problem !== undefined || !isJailed) return found;
    // Not without: root would run the VMM unconfined, and nobody would have asked for that.
    if ((await commands.find(jailer)) === undefined)
      return {
        ...found,
        problem: `${jailer} is not installed`,
        fix: "Install the jailer of the same release, or set vmm.jailer_enabled = false",
      };
    // Now, not at the start: the driver would be chosen, and the jail named.
    const unsafe = await jailBaseProblem(jailBase);
    return unsafe === undefined
      ? found
      : { ...found, problem: unsafe.message, fix: otherBaseHint };
  };
  return {
    driver: new FirecrackerDriver({
      commands,
      logger,
      program,
      kernels,
      hostFacts,
      stateDirectory,
      settings: {
        jailer,
        jailerEnabled: settings.jailerEnabled,
        jailBase,
      },
    }),
    emulates: false,
    program: look,
    version: (signal) => program.version(signal),
    kvmProbe: new KvmProbe({
      boot: new FirecrackerProbe({
        commands,
        program,
        kernels,
        directory: `${paths.runDirectory}/probe`,
      }),
      logger,
      verdictFile: `${stateDirectory}/kvm-verdict-firecracker.json`,
    }),
  };
}

function installedQemu({ commands, logger, paths }: VmmDeps): InstalledVmm {
  const program = new QemuProgram({ commands });
  return {
    driver: new QemuDriver({ commands }),
    emulates: true,
    program: () => program.look(),
    version: () => program.version(),
    kvmProbe: new KvmProbe({
      boot: new QemuProbe({ commands, program }),
      logger,
      verdictFile: `${paths.stateDirectory}/kvm-verdict.json`,
    }),
  };
}
