import {
  definePrivilegedRequest,
  JoinedError,
  KeyedLock,
  type CommandRunner,
  type Install,
  type VmId,
} from "@banger/core";
import { z } from "zod";
import { vmIdSchema } from "../privileged/id-schemas.js";
import { jailOwner } from "../vmm/firecracker/jail-owner.js";
import { BridgeDevice, isForeignBridge } from "./bridge-device.js";
import { BridgeFence, renderFence } from "./bridge-fence.js";
import { parseBridgeSettings, requireGuestAddress } from "./bridge-settings.js";
import { IpCommand, type NamedDevice } from "./ip-command.js";
import {
  bridgeNameInput,
  cidrInput,
  tapDeviceInput,
} from "./network-inputs.js";
import { NetworkConflictError } from "./network-errors.js";
import { NftCommand } from "./nft-command.js";
import { renderGuard, SourceGuard, type Guest } from "./source-guard.js";
import { TapDevices, type TapDevice } from "./tap-device.js";
import {
  installAlias,
  isPoolDeviceName,
  isTapDeviceName,
} from "./tap-names.js";

/** Of a request that runs a dozen commands, ms. */
const timeoutMs = 120_000;

/** Most bridges of an install, of which it uses one at a time, and most TAP devices: each takes the kernel's memory. */
const mostBridges = 16;
const mostTapDevices = 4096;

const lock = new KeyedLock();

/**
 * Runs one change of the host's devices after another: an address is given to one, a device is one VM's, and whoever removes the last port
 * takes the fence away. @throws CancelledError
 */
export function alone<T>(
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  return lock.run("network", signal, work);
}

/**
 * The bridge and its fence when there are none yet, then the VM's TAP device, which is joined to it only when its guard stands. A VM
 * may run meanwhile: its device stays as it is, and fence and guard are replaced at once.
 * @throws NetworkConflictError, InvalidValueError, ToolMissingError, CommandFailedError, CancelledError
 */
export const prepareNetwork = definePrivilegedRequest({
  name: "network.prepare",
  input: z.strictObject({
    bridge: bridgeNameInput,
    /** the host's, with prefix length */
    address: cidrInput,
    /** are guests kept from each other? */
    isolate: z.boolean(),
    vm: z.strictObject({ id: vmIdSchema, guestIp: z.ipv4() }),
    tapDevice: tapDeviceInput,
    /** does the VMM run in a jail? */
    jailed: z.boolean(),
  }),
  output: z.strictObject({}),
  timeoutMs,
  run: async (
    { bridge, address, isolate, vm, tapDevice, jailed },
    { install, commands, signal },
  ) => {
    const settings = parseBridgeSettings(bridge, address);
    requireGuestAddress(settings, vm.id, vm.guestIp);
    const owner = tapOwner(install, vm.id, jailed);
    const tap: TapDevice = { name: tapDevice, id: vm.id, owner };
    return alone(signal, async () => {
      const devices = await new IpCommand(commands).devices(signal);
      requireRoom(devices, { install, bridge, tapDevice });
      await new BridgeDevice(settings, install.tag, commands).ensure(signal);
      const guards = await new SourceGuard(commands).list(signal);
      requireFree(vm, tapDevice, {
        guards,
        ports: devices.filter(({ master }) => master === bridge),
      });
      const taps = new TapDevices(install, commands);
      await taps.ensure(tap, bridge, devices, signal);
      // Both before it is joined, in one transaction.
      await new NftCommand(commands).apply(
        renderFence(bridge, isolate) + renderGuard(tapDevice, vm),
        signal,
      );
      await taps.join(tapDevice, bridge, isolate, signal);
      return {};
    });
  },
});

/**
 * The VM's TAP device and its guard, and with the last port of the bridge the fence. The bridge stays. Idempotent; what is not this VM's is
 * left alone. Runs to the end.
 * @returns is the device idle in the pool now?
 * @throws JoinedError with everything that failed
 */
export const removeNetwork = definePrivilegedRequest({
  name: "network.remove",
  input: z.strictObject({
    bridge: bridgeNameInput,
    isolate: z.boolean(),
    vmId: vmIdSchema,
    tapDevice: tapDeviceInput,
    jailed: z.boolean(),
    /** may a pool device go back to the pool? */
    recycle: z.boolean(),
  }),
  output: z.strictObject({ isIdle: z.boolean() }),
  timeoutMs,
  run: (
    { bridge, isolate, vmId, tapDevice: name, jailed, recycle },
    { install, commands, logger, signal },
  ) => {
    const taps = new TapDevices(install, commands);
    const guard = new SourceGuard(commands);
    const owner = tapOwner(install, vmId, jailed);
    const isShareable = isPoolDeviceName(name) && owner === install.owner.uid;
    return alone(signal, async () => {
      const devices = await new IpCommand(commands).devices();
      const holder = await taps.holder({ name, id: vmId, owner }, devices);
      const failures: unknown[] = [];
      const attempt = async (work: () => Promise<void>): Promise<boolean> => {
        try {
          await work();
          return true;
        } catch (error) {
          failures.push(error);
          return false;
        }
      };
      let isIdle = holder === "pool";
      if (holder === "vm" && recycle && isShareable)
        try {
          isIdle = await giveBack(taps, guard, name);
        } catch (error) {
          logger.warn("TAP device does not go back to the pool", {
            ...{ device: name, error },
          });
        }
      let isGone = holder === "nobody" || isIdle;
      if (holder === "vm" && !isIdle) {
        isGone = await attempt(() => taps.remove(name));
        // Also of one that could not be removed: its guest has ended.
        await attempt(() => guard.remove(name));
      } else if (holder === "nobody") {
        await attempt(() => guard.remove(name));
      }
      const isLast = !devices.some(
        (device) =>
          device.master === bridge && !(device.name === name && isGone),
      );
      // Another install may be about to join its first device.
      const device = devices.find((other) => other.name === bridge);
      if (isLast && !isForeignBridge(device, install.tag))
        await attempt(() => removeFence(bridge, isolate, commands));
      if (failures.length > 0)
        throw new JoinedError(
          `the network of the VM ${vmId} is not wholly removed`,
          failures,
        );
      return { isIdle };
    });
  },
});

/** @returns whether it is idle now; it is not when it is somebody else's by now */
async function giveBack(
  taps: TapDevices,
  guard: SourceGuard,
  name: string,
): Promise<boolean> {
  await taps.detach(name);
  await guard.remove(name);
  if (!(await taps.isOwners(name))) return false;
  // Last: with this alias it may be another VM's at once.
  await taps.shelve(name);
  return true;
}

async function removeFence(
  bridge: string,
  isolate: boolean,
  commands: CommandRunner,
): Promise<void> {
  const fence = new BridgeFence(bridge, commands);
  await fence.remove();
  // Another process may just have joined a device.
  const ports = await new IpCommand(commands).ports(bridge);
  if (ports.length > 0) await fence.ensure(isolate);
}

/** What stands of the rules that confine guests, which root alone may list. Looks only. */
export const readNetworkRules = definePrivilegedRequest({
  name: "network.read-rules",
  input: z.strictObject({ bridge: bridgeNameInput }),
  output: z.strictObject({
    fence: z.enum(["absent", "open", "isolating"]),
    /** names of the TAP devices that have a guard, also of those that are gone */
    guarded: z.array(tapDeviceInput),
  }),
  timeoutMs,
  run: async ({ bridge }, { commands, signal }) => {
    const guards = await new SourceGuard(commands).list(signal);
    return {
      fence: await new BridgeFence(bridge, commands).state(signal),
      guarded: [...guards.keys()].filter(isTapDeviceName),
    };
  },
});

/** Whom a TAP device belongs to: who the VM's VMM runs as. */
function tapOwner({ owner }: Install, id: VmId, jailed: boolean): number {
  return jailed ? jailOwner(id, owner).uid : owner.uid;
}

/** @throws NetworkConflictError */
function requireRoom(
  devices: readonly NamedDevice[],
  wanted: {
    readonly install: Install;
    readonly bridge: string;
    readonly tapDevice: string;
  },
): void {
  const { install, bridge, tapDevice } = wanted;
  const isThere = (name: string): boolean =>
    devices.some((device) => device.name === name);
  const bridges = devices.filter(
    ({ kind, alias }) =>
      kind === "bridge" && alias === installAlias(install.tag),
  );
  if (!isThere(bridge) && bridges.length >= mostBridges)
    throw new NetworkConflictError(
      `there are ${String(bridges.length)} bridges of this install, and it may have no more`,
      { hint: "Remove one that no VM uses: ip link delete NAME" },
    );
  const taps = devices.filter(({ name }) => isTapDeviceName(name));
  if (!isThere(tapDevice) && taps.length >= mostTapDevices)
    throw new NetworkConflictError(
      `there are ${String(taps.length)} TAP devices of VMs, and there may be no more`,
      { hint: "Stop a VM: banger vm list" },
    );
}

/** Two VMs have one address when that of the network was changed between them. */
function requireFree(
  vm: Guest,
  tapDevice: string,
  host: {
    readonly guards: ReadonlyMap<string, string>;
    readonly ports: readonly NamedDevice[];
  },
): void {
  // The guard of a device that is gone guards nobody.
  const other = host.ports.find(
    ({ name }) => name !== tapDevice && host.guards.get(name) === vm.guestIp,
  );
  if (!other) return;
  throw new NetworkConflictError(
    `the VM ${vm.id} has the address ${vm.guestIp}, and so has the VM of ${other.name}, which runs`,
    {
      hint: `Stop the other one (its id is the alias in: ip link show ${other.name}), or delete this one: banger vm delete ${vm.id}`,
    },
  );
}
