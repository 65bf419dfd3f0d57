import type { CommandRunner, Logger, Privileged } from "@banger/core";
import type { FirecrackerSettings } from "../config/load-config.js";
import type { Paths } from "../paths.js";
import { FirecrackerDriver } from "./firecracker/firecracker-driver.js";
import { FirecrackerProbe } from "./firecracker/firecracker-probe.js";
import { jailRequests } from "./firecracker/jail-requests.js";
import { FirecrackerKernels } from "./firecracker/kernels.js";
import { FirecrackerProgram } from "./firecracker/program.js";
import { KvmProbe } from "./kvm-probe.js";
import { QemuDriver } from "./qemu-driver.js";
import { QemuProbe } from "./qemu-probe.js";
import { QemuProgram } from "./qemu-program.js";
import type { InstalledVmm, VmmProgram } from "./vmm-drivers.js";

export interface VmmDeps {
  readonly commands: CommandRunner;
  readonly logger: Logger;
  readonly privileged: Privileged;
  readonly paths: Paths;
  readonly firecracker: FirecrackerSettings;
}

/** Every VMM that this program can drive, the one that `auto` prefers first. */
export function installedVmms(deps: VmmDeps): readonly InstalledVmm[] {
  return [installedFirecracker(deps), installedQemu(deps)];
}

function installedFirecracker(deps: VmmDeps): InstalledVmm {
  const { commands, logger, privileged, paths, firecracker: settings } = deps;
  const program = new FirecrackerProgram({
    commands,
    program: settings.program,
  });
  const { kernelsDirectory, stateDirectory } = paths;
  const kernels = new FirecrackerKernels({ commands, kernelsDirectory });
  const jail = {
    firecracker: settings.program,
    jailer: settings.jailer,
    // The root helper knows no configuration.
    jailBase:
      (privileged.kind === "helper" ? undefined : settings.jailBase) ??
      paths.jailDirectory,
  };
  const requests = jailRequests(jail);
  const look = async (signal: AbortSignal): Promise<VmmProgram> => {
    const found = await program.look(signal);
    const isJailed = privileged.kind !== "none" && settings.jailerEnabled;
    if (found.problem !== undefined || !isJailed) return found;
    const silent = await privileged.problem();
    if (silent)
      return {
        ...found,
        problem: silent.message,
        ...(silent.hint === undefined ? {} : { fix: silent.hint }),
      };
    // Not without: root would run the VMM unconfined, and nobody would have asked for that. And now, not at the start: the driver would
    // be chosen, and the jail named.
    const jailed = await privileged.request(requests.check, {}, signal);
    const { problem, fix, firecracker } = jailed;
    if (problem !== undefined)
      return { ...found, problem, ...(fix === undefined ? {} : { fix }) };
    return firecracker === found.path
      ? found
      : {
          ...found,
          problem: `root starts ${firecracker ?? "another program"} in jails`,
          fix: "Remove vmm.firecracker_bin from the configuration",
        };
  };
  return {
    driver: new FirecrackerDriver({
      privileged,
      logger,
      program,
      kernels,
      settings: { ...jail, jailerEnabled: settings.jailerEnabled },
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
