import { createHash } from "node:crypto";
import { userInfo } from "node:os";
import {
  asClass,
  asFunction,
  asValue,
  type AwilixContainer,
  type CommandRunner,
  type HostFacts,
  type Logger,
  type Privileged,
  type RootCradle,
  type VmFiles,
  type VmStore,
} from "@banger/core";
import type { ConfigValues } from "./config/load-config.js";
import { ExecaCommandRunner } from "./commands/execa-command-runner.js";
import { diskRequests } from "./disks/disk-requests.js";
import { InstalledRootDisks } from "./disks/installed-root-disks.js";
import { RootDiskProbe } from "./disks/root-disk-probe.js";
import { readHostFacts } from "./facts/host-facts.js";
import { LocalVmFiles } from "./files/vm-files.js";
import { QemuGuestAgent } from "./guest-agent/qemu-guest-agent.js";
import { InitrdGuestBoot } from "./guest-boot/initrd-guest-boot.js";
import { SsGuestPorts } from "./guest-ports/ss-guest-ports.js";
import { Ssh2GuestSsh } from "./guest-ssh/ssh2-guest-ssh.js";
import { DirectoryImageStore } from "./images/directory-image-store.js";
import { ImageBuilder } from "./images/image-builder.js";
import { installTag } from "./install-tag.js";
import { FileGuestKeys } from "./keys/file-guest-keys.js";
import { BridgeNetwork } from "./network/bridge-network.js";
import { parseBridgeSettings } from "./network/bridge-settings.js";
import { InMemoryGuestEgress } from "./network/guest-egress.js";
import { InstalledNetworks } from "./network/network-modes.js";
import { TapPool } from "./network/tap-pool.js";
import { lowestPort } from "./network/unprivileged-ports.js";
import { UserNetwork } from "./network/user-network.js";
import type { Paths } from "./paths.js";
import { TcpPortForwards } from "./port-forwards/tcp-port-forwards.js";
import { SystemHostResolver } from "./resolver/system-host-resolver.js";
import { HelperPrivileged } from "./privileged/helper-privileged.js";
import { InProcessPrivileged } from "./privileged/in-process-privileged.js";
import { NoPrivileged } from "./privileged/no-privileged.js";
import type { HelperBuild } from "./privileged/ping-request.js";
import { HostRequirements } from "./setup/requirements.js";
import { openDatabase } from "./store/database.js";
import { JsonHandleStore } from "./store/json-handle-store.js";
import { SqliteVmStore } from "./store/sqlite-vm-store.js";
import { installedVmms } from "./vmm/installed-vmms.js";
import { InstalledVmmDrivers } from "./vmm/vmm-drivers.js";

/** Services of the host that are no contracts of core: the API and the daemon use them. */
export interface HostInternals {
  readonly paths: Paths;
  readonly network: InstalledNetworks;
  readonly vmmDrivers: InstalledVmmDrivers;
  readonly requirements: HostRequirements;
  readonly imageBuilder: ImageBuilder;
  readonly rootDiskProbe: RootDiskProbe;
  readonly tapPool: TapPool;
}

export type HostRoot = AwilixContainer<RootCradle & HostInternals>;

/** Registers every implementation of this package. Paths and logger must be registered too before anything is resolved. */
export function registerHostServices(
  root: AwilixContainer<RootCradle>,
  options: {
    readonly paths: Paths;
    readonly config: Pick<ConfigValues, "images" | "network" | "vmm">;
    /** of this program; a root helper of another one is worth a warning */
    readonly build: HelperBuild;
  },
): HostRoot {
  const { paths, config, build } = options;
  const { jailerEnabled, jailBase = paths.jailDirectory } =
    config.vmm.firecracker;
  const rootDiskRequests = diskRequests({ jailBase });
  return root.register({
    paths: asValue(paths),
    commands: asClass(ExecaCommandRunner).singleton(),
    guestAgent: asClass(QemuGuestAgent).singleton(),
    guestEgress: asClass(InMemoryGuestEgress).singleton(),
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
        privileged,
      }: {
        commands: CommandRunner;
        hostFacts: HostFacts;
        privileged: Privileged;
      }) =>
        new ImageBuilder({
          ...{ commands, hostFacts, privileged },
          mirror: config.images.mirror,
        }),
    ).singleton(),
    imageStore: asFunction(
      (cradle: {
        imageBuilder: ImageBuilder;
        vmStore: VmStore;
        logger: Logger;
      }) => {
        const { imageBuilder, vmStore, logger } = cradle;
        return new DirectoryImageStore({
          directory: paths.imagesDirectory,
          kernelsDirectory: paths.kernelsDirectory,
          imageBuilder,
          vmStore,
          logger,
        });
      },
    ).singleton(),
    network: asFunction(
      (cradle: {
        commands: CommandRunner;
        hostFacts: HostFacts;
        privileged: Privileged;
        tapPool: TapPool;
        vmStore: VmStore;
      }) => {
        const { commands, hostFacts, privileged, tapPool: pool } = cradle;
        const { vmStore } = cradle;
        const { mode, bridge, address, isolate } = config.network;
        const user = new UserNetwork({
          lowestPort: lowestPort(hostFacts.isRoot),
          offset: installOffset(paths.stateDirectory),
        });
        const bridged = new BridgeNetwork({
          ...{ commands, privileged, pool, isolate },
          settings: parseBridgeSettings(bridge, address),
          install: {
            tag: installTag(paths.stateDirectory),
            ownerUid: userInfo().uid,
          },
          vms: () => vmStore.list(),
        });
        return new InstalledNetworks(mode, [user, bridged]);
      },
    ).singleton(),
    portForwards: asClass(TcpPortForwards)
      .singleton()
      .disposer((forwards) => forwards.dispose()),
    privileged: asFunction(
      ({
        commands,
        logger,
        hostFacts: { isRoot },
      }: {
        commands: CommandRunner;
        logger: Logger;
        hostFacts: HostFacts;
      }): Privileged => {
        const { stateDirectory, runDirectory, helperSocket, service } = paths;
        if (!isRoot && helperSocket === undefined) return new NoPrivileged();
        if (!isRoot && helperSocket !== undefined)
          return new HelperPrivileged({
            ...{ socketPath: helperSocket, service, build, logger },
            uid: userInfo().uid,
          });
        const install = {
          owner: { uid: 0, gid: 0 },
          stateDirectory,
          runDirectory,
          tag: installTag(stateDirectory),
        };
        return new InProcessPrivileged({ install, commands, logger });
      },
    ).singleton(),
    requirements: asFunction(
      ({
        commands,
        hostFacts,
      }: {
        commands: CommandRunner;
        hostFacts: HostFacts;
      }) => {
        const networkMode = config.network.mode;
        const hasHelper = paths.helperSocket !== undefined;
        return new HostRequirements({
          ...{ commands, hostFacts, networkMode, hasHelper },
        });
      },
    ).singleton(),
    rootDiskProbe: asFunction(
      ({ privileged }: { privileged: Privileged }) =>
        new RootDiskProbe({
          privileged,
          jailerEnabled,
          requests: rootDiskRequests,
        }),
    ).singleton(),
    rootDisks: asFunction(
      (cradle: {
        commands: CommandRunner;
        logger: Logger;
        privileged: Privileged;
        rootDiskProbe: RootDiskProbe;
      }) => {
        const { commands, logger, privileged, rootDiskProbe } = cradle;
        const { stateDirectory } = paths;
        return new InstalledRootDisks({
          ...{ commands, logger, privileged, rootDiskProbe, stateDirectory },
          requests: rootDiskRequests,
        });
      },
    ).singleton(),
    tapPool: asFunction(
      (cradle: {
        commands: CommandRunner;
        logger: Logger;
        privileged: Privileged;
      }) => {
        const { commands, logger, privileged } = cradle;
        const { mode, tapPoolSize } = config.network;
        return new TapPool({
          ...{ commands, logger, privileged },
          install: installTag(paths.stateDirectory),
          size: mode === "bridge" ? tapPoolSize : 0,
        });
      },
    ).singleton(),
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
        logger,
        privileged,
      }: {
        commands: CommandRunner;
        logger: Logger;
        privileged: Privileged;
      }) => {
        const { firecracker } = config.vmm;
        return new InstalledVmmDrivers({
          installed: installedVmms({
            commands,
            logger,
            privileged,
            paths,
            firecracker,
          }),
        });
      },
    ).singleton(),
  });
}

/** Two installs on one host, such as two users' or a test's, begin at different loopback addresses. */
function installOffset(stateDirectory: string): number {
  return createHash("sha256").update(stateDirectory).digest().readUInt16BE(0);
}
