import type { CommandRunner, VmRecord } from "@banger/core";
import {
  fakeInstall,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import {
  BridgeNetwork,
  type BridgeNetworkDeps,
} from "../../src/network/bridge-network.js";
import { parseBridgeSettings } from "../../src/network/bridge-settings.js";
import { tapDeviceNames } from "../../src/network/tap-names.js";
import { TapPool } from "../../src/network/tap-pool.js";

/** What a test says about the network and its install. */
export interface BridgeOptions {
  readonly bridge?: string;
  readonly address?: string;
  readonly isolate?: boolean;
  readonly tag?: string;
  /** of the install: whom the TAP devices belong to */
  readonly ownerUid?: number;
  readonly poolSize?: number;
  readonly vms?: BridgeNetworkDeps["vms"];
  readonly deviceAlias?: BridgeNetworkDeps["deviceAlias"];
}

export interface BridgeUnderTest {
  readonly network: BridgeNetwork;
  readonly pool: TapPool;
  readonly privileged: FakePrivileged;
  readonly logger: ReturnType<typeof memoryLogger>;
}

/** A daemon's side of a bridge, with the real requests behind it. */
export function makeBridge(
  commands: CommandRunner,
  options: BridgeOptions = {},
): BridgeUnderTest {
  const { tag = "0123abcd", ownerUid = 0 } = options;
  const owner = { uid: ownerUid, gid: ownerUid };
  const privileged = new FakePrivileged(commands, fakeInstall({ owner, tag }));
  const logger = memoryLogger();
  const pool = new TapPool({
    ...{ commands, privileged, logger },
    install: tag,
    size: options.poolSize ?? 0,
  });
  const network = new BridgeNetwork({
    ...{ commands, privileged, pool },
    settings: parseBridgeSettings(
      options.bridge ?? "br-fc",
      options.address ?? "172.16.0.1/24",
    ),
    isolate: options.isolate ?? false,
    install: { tag, ownerUid },
    vms: options.vms ?? (() => Promise.resolve([])),
    nameservers: () => ["10.0.0.53"],
    deviceAlias: options.deviceAlias ?? (() => undefined),
  });
  return { network, pool, privileged, logger };
}

/** A VM of this network: the ids of two with different leases begin differently. */
export function vmOf(
  network: BridgeNetwork,
  lease = 1,
  tapDevice?: string,
): VmRecord {
  const id = fakeVmId(0xabcdef010000 + lease * 0x10000);
  return fakeVm({
    id,
    name: `otter-${String(lease)}`,
    runtime: {
      networkMode: "bridge",
      ...network.addresses(lease),
      tapDevice: tapDevice ?? tapDeviceNames(id)[0],
    },
  });
}
