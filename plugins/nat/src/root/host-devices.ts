import {
  BangerError,
  covers,
  guestBridgeName,
  parseCidr,
  renderSubnet,
  type CommandRunner,
  type Install,
} from "@banger/core";
import { z } from "zod";
import { findDefaultRoute } from "../default-route.js";
import type { GuestInput, Path } from "./guest.js";

/** Netlink answers at once, ms. */
const timeoutMs = 10_000;

const devices = z.array(
  z.looseObject({
    ifname: z.string().optional(),
    master: z.string().optional(),
    ifalias: z.string().optional(),
    addr_info: z
      .array(
        z.looseObject({
          local: z.string(),
          prefixlen: z.number(),
        }),
      )
      .optional(),
  }),
);

type Device = z.output<typeof devices>[number];

/** The VM's TAP device is no port of a bridge of this install, so there is nothing to open. */
class NatBridgeError extends BangerError {
  override readonly code = "ERR_NAT_BRIDGE";
  constructor(device: string, problem: string) {
    super(`${device} ${problem}`, {
      hint: "Stop the VM and start it: banger vm restart NAME",
    });
  }
}

/**
 * Where a guest's packets go, as the kernel says: nothing of it is taken from who asks.
 * @throws NatBridgeError
 */
export async function findPath(
  guest: Pick<GuestInput, "tapDevice" | "guestIp" | "open">,
  install: Pick<Install, "tag">,
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<Path> {
  const ask = async (args: readonly string[]): Promise<Device | undefined> => {
    const base = { file: "ip", timeoutMs, signal };
    const { exitCode, stdout } = await commands.run({
      ...base,
      args: ["-json", ...args],
      // 1: there is no such device.
      okExitCodes: [0, 1],
    });
    return exitCode === 0 ? devices.parse(JSON.parse(stdout))[0] : undefined;
  };
  const { tapDevice, guestIp } = guest;
  const tap = await ask(["link", "show", "dev", tapDevice]);
  const bridge = tap?.master;
  if (bridge === undefined || !guestBridgeName.test(bridge))
    throw new NatBridgeError(tapDevice, "is no port of a bridge of guests");
  const device = await ask(["link", "show", "dev", bridge]);
  if (device?.ifalias !== `banger-${install.tag}`)
    throw new NatBridgeError(
      tapDevice,
      `is a port of ${bridge}, which is of another install`,
    );
  const address = parseCidr(guestIp);
  const { addr_info: addresses } =
    (await ask(["-4", "address", "show", "dev", bridge])) ?? {};
  const subnet = addresses
    ?.flatMap(
      ({ local, prefixlen }) =>
        parseCidr(`${local}/${String(prefixlen)}`) ?? [],
    )
    .find((each) => address && covers(each, address));
  if (!subnet)
    throw new NatBridgeError(
      tapDevice,
      `is a port of ${bridge}, which has no address in the subnet of ${guestIp}`,
    );
  const uplink = guest.open
    ? await findDefaultRoute(commands, signal)
    : undefined;
  return {
    bridge,
    subnet: renderSubnet(subnet),
    uplink: uplink === bridge ? undefined : uplink,
  };
}
