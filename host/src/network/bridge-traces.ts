import {
  definePrivilegedRequest,
  JoinedError,
  type PrivilegedContext,
} from "@banger/core";
import { z } from "zod";
import { BridgeFence, fencedBridges } from "./bridge-fence.js";
import { isBridgeName } from "./bridge-settings.js";
import { IpCommand } from "./ip-command.js";
import { alone } from "./network-requests.js";
import { bridgeNameInput } from "./network-inputs.js";
import { SourceGuard } from "./source-guard.js";
import { drain } from "./tap-pool-requests.js";
import { installAlias, isTapDeviceName } from "./tap-names.js";

/** What became of the bridges of an install; names. */
export interface BridgeTraces {
  readonly removed: readonly string[];
  /** those that still have a port, such as a VM's TAP device */
  readonly kept: readonly string[];
}

/**
 * Removes what the network of an install leaves when its last VM is gone: every bridge that carries its mark and has no port, with its fence,
 * the idle devices of its pool, and rules for devices that are gone. Idempotent, runs to the end.
 * @throws JoinedError with everything that failed
 */
export async function removeBridgeTraces(
  context: Pick<PrivilegedContext, "install" | "commands">,
): Promise<BridgeTraces> {
  const { install, commands } = context;
  // Without the program there was never a bridge.
  if ((await commands.find("ip")) === undefined)
    return { removed: [], kept: [] };
  const ip = new IpCommand(commands);
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<unknown>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      failures.push(error);
      return false;
    }
  };
  await attempt(() => drain(undefined, context));
  const removed: string[] = [];
  const kept: string[] = [];
  const found = await ip.devices();
  for (const { name, kind, alias } of found) {
    if (kind !== "bridge" || alias !== installAlias(install.tag)) continue;
    if (!isBridgeName(name)) continue;
    if (found.some(({ master }) => master === name)) kept.push(name);
    else if (await attempt(() => ip.run(["link", "delete", "dev", name])))
      removed.push(name);
  }
  await attempt(() => removeStaleRules(context));
  if (failures.length > 0)
    throw new JoinedError("the bridge is not wholly removed", failures);
  return { removed, kept };
}

/** Fences and guards of devices that are gone: they confine nobody. */
async function removeStaleRules({
  commands,
}: Pick<PrivilegedContext, "commands">): Promise<void> {
  if ((await commands.find("nft")) === undefined) return;
  const guard = new SourceGuard(commands);
  const guarded = [...(await guard.list()).keys()].filter(isTapDeviceName);
  const fenced = (await fencedBridges(commands)).filter(isBridgeName);
  const devices = await new IpCommand(commands).devices();
  const isThere = new Set(devices.map(({ name }) => name));
  for (const name of guarded) if (!isThere.has(name)) await guard.remove(name);
  for (const name of fenced)
    if (!isThere.has(name)) await new BridgeFence(name, commands).remove();
}

/** {@link removeBridgeTraces} as a request. */
export const removeBridges = definePrivilegedRequest({
  name: "network.remove-bridge",
  input: z.strictObject({}),
  output: z.strictObject({
    removed: z.array(bridgeNameInput),
    kept: z.array(bridgeNameInput),
  }),
  timeoutMs: 120_000,
  run: (_input, context) =>
    alone(context.signal, async () => {
      const { removed, kept } = await removeBridgeTraces(context);
      return { removed: [...removed], kept: [...kept] };
    }),
});
