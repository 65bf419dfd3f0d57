import { definePrivilegedRequest, type PrivilegedContext } from "@banger/core";
import { z } from "zod";
import { IpCommand } from "./ip-command.js";
import { poolDeviceInput } from "./network-inputs.js";
import { alone } from "./network-requests.js";
import { isTap, uidOf } from "./tap-device.js";
import { isPoolDeviceName, poolAlias } from "./tap-names.js";

/** Most devices that are made by one request. */
export const poolBatch = 8;

/** Most idle devices of an install, whatever it asks for. */
export const mostPooled = 64;

/** Of one process of `ip`: the kernel takes some 30 ms to delete a device, and may have other work, ms. */
const timeoutMs = 60_000;

/**
 * Makes TAP devices that belong to the install's owner and wait for a VM: not up, on no bridge. Idempotent. A name that something else has
 * is left out. After a failure none of them is left that was not there before.
 * @returns those of the names that are idle devices of this install now
 * @throws ToolMissingError, CommandFailedError, CancelledError
 */
export const fillTapPool = definePrivilegedRequest({
  name: "network.fill-pool",
  input: z.strictObject({
    devices: z.array(poolDeviceInput).min(1).max(poolBatch),
  }),
  output: z.strictObject({ devices: z.array(poolDeviceInput) }),
  timeoutMs,
  run: async ({ devices }, { install, commands, signal }) => {
    const ip = new IpCommand(commands);
    const alias = poolAlias(install.tag);
    const before = await ip.devices(signal);
    const isThere = new Set(before.map(({ name }) => name));
    const idle = before.filter(
      (device) => isTap(device) && device.alias === alias,
    );
    const room = Math.max(0, mostPooled - idle.length);
    const missing = [...new Set(devices)]
      .filter((name) => !isThere.has(name))
      .slice(0, room);
    try {
      if (missing.length > 0)
        await ip.batch(
          missing.flatMap((name) => [
            `tuntap add dev ${name} mode tap user ${String(install.owner.uid)}`,
            // The kernel heeds no alias in the request that makes a device.
            `link set dev ${name} alias ${alias}`,
          ]),
          signal,
        );
    } catch (error) {
      await drain(missing, { install, commands });
      throw error;
    }
    const isIdle = new Set(idle.map(({ name }) => name));
    return {
      devices: [...devices.filter((name) => isIdle.has(name)), ...missing],
    };
  },
});

/**
 * Deletes idle devices of this install's pool, and those that were left half made. Idempotent; others are left alone.
 * @throws ToolMissingError, CommandFailedError, CancelledError
 */
export const drainTapPool = definePrivilegedRequest({
  name: "network.drain-pool",
  input: z.strictObject({
    devices: z.array(poolDeviceInput).min(1).max(mostPooled),
  }),
  output: z.strictObject({}),
  timeoutMs,
  run: ({ devices }, { install, commands, signal }) =>
    // Not while a VM gets one of them.
    alone(signal, async () => {
      await drain(devices, { install, commands, signal });
      return {};
    }),
});

/**
 * Deletes those of the devices that are in this install's pool, or were left half made. Idempotent.
 * @param names all of them by default
 */
export async function drain(
  names: readonly string[] | undefined,
  context: Pick<PrivilegedContext, "install" | "commands"> & {
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { install, commands, signal } = context;
  const ip = new IpCommand(commands);
  const doomed: string[] = [];
  for (const device of await ip.devices(signal)) {
    const { name, alias, user, master, hasCarrier } = device;
    const isAsked = names?.includes(name) ?? true;
    if (!isAsked || !isPoolDeviceName(name) || !isTap(device)) continue;
    // Whoever ended between the two lines that make one has left it without alias.
    const isHalfMade =
      alias === undefined &&
      master === undefined &&
      !hasCarrier &&
      user !== undefined &&
      (await uidOf(commands, user, signal)) === install.owner.uid;
    if (alias === poolAlias(install.tag) || isHalfMade) doomed.push(name);
  }
  if (doomed.length > 0)
    await ip.batchAll(
      doomed.map((name) => `link delete dev ${name}`),
      signal,
    );
}
