import { createHash } from "node:crypto";
import {
  asClass,
  asFunction,
  asValue,
  type AwilixContainer,
  type CommandRunner,
  type HostFacts,
  type Logger,
  type RootCradle,
  type VmFiles,
  type VmStore,
} from "@banger/core";
import { ExecaCommandRunner } from "./commands/execa-command-runner.js";
import { Qcow2RootDisks } from "./disks/qcow2-root-disks.js";
import { readHostFacts } from "./facts/host-facts.js";
import { LocalVmFiles } from "./files/vm-files.js";
import { QemuGuestAgent } from "./guest-agent/qemu-guest-agent.js";
import { InitrdGuestBoot } from "./guest-boot/initrd-guest-boot.js";
import { SsGuestPorts } from "./guest-ports/ss-guest-ports.js";
import { Ssh2GuestSsh } from "./guest-ssh/ssh2-guest-ssh.js";
import { DirectoryImageStore } from "./images/directory-image-store.js";
import { ImageBuilder } from "./images/image-builder.js";
import { FileGuestKeys } from "./keys/file-guest-keys.js";
import { lowestPort } from "./network/unprivileged-ports.js";
import { UserNetwork } from "./network/user-network.js";
import type { Paths } from "./paths.js";
import { TcpPortForwards } from "./port-forwards/tcp-port-forwards.js";
import { SystemHostResolver } from "./resolver/system-host-resolver.js";
import { HostRequirements } from "./setup/requirements.js";
import { openDatabase } from "./store/database.js";
import { JsonHandleStore } from "./store/json-handle-store.js";
import { SqliteVmStore } from "./store/sqlite-vm-store.js";
import { KvmProbe } from "./vmm/kvm-probe.js";
import { QemuDriver } from "./vmm/qemu-driver.js";
import { InstalledVmmDrivers } from "./vmm/vmm-drivers.js";

/** Services of the host that are no contracts of core: the API and the daemon use them. */
export interface HostInternals {
  readonly paths: Paths;
  readonly kvmProbe: KvmProbe;
  readonly requirements: HostRequirements;
  readonly imageBuilder: ImageBuilder;
}

export type HostRoot = AwilixContainer<RootCradle & HostInternals>;

/** Registers every implementation of this package. Paths and logger must be registered too before anything is resolved. */
export function registerHostServices(
  root: AwilixContainer<RootCradle>,
  options: { readonly paths: Paths; readonly imageMirror: string | undefined },
): HostRoot {
  const { paths, imageMirror } = options;
  return root.register({
    paths: asValue(paths),
    commands: asClass(ExecaCommandRunner).singleton(),
    guestAgent: asClass(QemuGuestAgent).singleton(),
    guestBoot: asClass(InitrdGuestBoot).singleton(),
    guestKeys: asFunction(
      ({ logger }: { logger: Logger }) =>
        new FileGuestKeys({ sshDirectory: paths.sshDirectory, logger }),
    ).singleton(),
    guestSsh: asClass(Ssh2GuestSsh)
      .singleton()
      .disposer((ssh) => ssh.close()),
    guestPorts: asClass(SsGuestPorts).singleton(),
    handleStore: asClass(JsonHandleStore).singleton(),
    hostFacts: asFunction(readHostFacts).singleton(),
    hostResolver: asFunction(() => new SystemHostResolver()).singleton(),
    imageBuilder: asFunction(
      ({
        commands,
        hostFacts,
      }: {
        commands: CommandRunner;
        hostFacts: HostFacts;
      }) => new ImageBuilder({ commands, hostFacts, mirror: imageMirror }),
    ).singleton(),
    imageStore: asFunction(
      (cradle: {
        imageBuilder: ImageBuilder;
        vmStore: VmStore;
        logger: Logger;
      }) => {
        const { imageBuilder, vmStore, logger } = cradle;
        const directory = paths.imagesDirectory;
        return new DirectoryImageStore({
          directory,
          imageBuilder,
          vmStore,
          logger,
        });
      },
    ).singleton(),
    kvmProbe: asFunction(
      ({ commands, logger }: { commands: CommandRunner; logger: Logger }) => {
        const verdictFile = `${paths.stateDirectory}/kvm-verdict.json`;
        return new KvmProbe({ commands, logger, verdictFile });
      },
    ).singleton(),
    network: asFunction(
      ({ hostFacts }: { hostFacts: HostFacts }) =>
        new UserNetwork({
          lowestPort: lowestPort(hostFacts.isRoot),
          offset: installOffset(paths.stateDirectory),
        }),
    ).singleton(),
    portForwards: asClass(TcpPortForwards)
      .singleton()
      .disposer((forwards) => forwards.dispose()),
    requirements: asClass(HostRequirements).singleton(),
    rootDisks: asClass(Qcow2RootDisks).singleton(),
    vmFiles: asClass(LocalVmFiles).singleton(),
    vmStore: asFunction(
      ({ vmFiles, logger }: { vmFiles: VmFiles; logger: Logger }) => {
        const database = openDatabase(paths.database);
        return new SqliteVmStore({
          database,
          directoriesOf: (id) => vmFiles.directories(id),
          logger,
        });
      },
    )
      .singleton()
      .disposer((store) => {
        store.close();
      }),
    vmmDrivers: asFunction(
      ({
        commands,
        kvmProbe,
      }: {
        commands: CommandRunner;
        kvmProbe: KvmProbe;
      }) =>
        new InstalledVmmDrivers({
          drivers: [new QemuDriver({ commands })],
          kvmProbe,
        }),
    ).singleton(),
  });
}

/** Two installs on one host, such as two users' or a test's, begin at different loopback addresses. */
function installOffset(stateDirectory: string): number {
  return createHash("sha256").update(stateDirectory).digest().readUInt16BE(0);
}
