import {
  definePrivilegedRequest,
  guestBridgeName,
  isBangerError,
  isPrivateIpv4,
  type Command,
  type Install,
  type PrivilegedContext,
  type PrivilegedRequest,
} from "@banger/core";
import { z } from "zod";
import { bridgeDevice, type BridgeDevice } from "./bridge-device.js";
import { DnsRouteError } from "./errors.js";
import { renderRedirect, renderRemoval, tableName } from "./redirect-rules.js";
import { zoneName } from "./zone.js";

/** Netlink and D-Bus answer at once; more is a host in trouble, ms. */
const timeoutMs = 10_000;

const bridge = z.string().regex(guestBridgeName);

const routeInput = z.strictObject({
  bridge,
  /** the host's address on it */
  gateway: z.string().refine(isPrivateIpv4, "is no private IPv4 address"),
  /** where the server listens on that address */
  port: z.int().min(1).max(65_535),
});

const routeOutput = z.strictObject({
  /** of systemd-resolved; `absent` where it does not run */
  resolver: z.enum(["routed", "absent"]),
});

type Route = z.infer<typeof routeInput>;
type Routed = z.infer<typeof routeOutput>;

/**
 * Leads the questions of a bridge's guests from port 53 of their gateway to the server, and those of the host's programs for `vm` there by
 * way of systemd-resolved, where it runs.
 * @throws DnsRouteError for a bridge or an address that is not this install's; ToolMissingError, CommandFailedError, CancelledError
 */
export const routeRequest: PrivilegedRequest<Route, Routed> =
  definePrivilegedRequest({
    name: "dns.route",
    input: routeInput,
    output: routeOutput,
    timeoutMs: 60_000,
    run: async (route, context) => {
      const device = await bridgeDevice(route.bridge, context);
      requireOwn(device, route, context);
      await nft(renderRedirect(route), context);
      const target = `${route.gateway}:${String(route.port)}`;
      const isRouted = await resolvectl(
        [
          ["dns", route.bridge, target],
          ["domain", route.bridge, `~${zoneName}`],
          ["default-route", route.bridge, "no"],
          // The zone is not signed, and the root zone knows no `vm`.
          ["dnssec", route.bridge, "no"],
        ],
        context,
      );
      return { resolver: isRouted ? "routed" : "absent" };
    },
  });

const unrouteInput = z.strictObject({ bridge });

/**
 * Takes back what {@link routeRequest} has made, from the bridge's name alone. Fine when there is nothing, and without the bridge.
 * @throws DnsRouteError for a bridge of something else; CommandFailedError, CancelledError
 */
export const unrouteRequest: PrivilegedRequest<
  z.infer<typeof unrouteInput>,
  null
> = definePrivilegedRequest({
  name: "dns.unroute",
  input: unrouteInput,
  output: z.null(),
  timeoutMs: 60_000,
  run: async ({ bridge: name }, context) => {
    if (!(await hasPrograms(context))) return null;
    const device = await bridgeDevice(name, context);
    if (isForeign(device, context))
      throw new DnsRouteError(name, "it belongs to something else");
    await removeRoute(name, device, context);
    return null;
  },
});

/**
 * Takes back what {@link routeRequest} has made for any bridge, when the install goes. Fine when there is nothing; leaves alone what is another
 * install's.
 * @throws ToolMissingError, CommandFailedError, CancelledError
 */
export const uninstallRequest: PrivilegedRequest<
  Record<string, never>,
  null
> = definePrivilegedRequest({
  name: "dns.uninstall",
  input: z.strictObject({}),
  output: z.null(),
  timeoutMs: 60_000,
  run: async (_input, context) => {
    if (!(await hasPrograms(context))) return null;
    const { commands, signal } = context;
    const args = ["list", "tables", "ip"];
    const command = { file: "nft", args, timeoutMs, signal };
    for (const name of bridgesIn((await commands.run(command)).stdout)) {
      const device = await bridgeDevice(name, context);
      if (!isForeign(device, context)) await removeRoute(name, device, context);
    }
    return null;
  },
});

/** @param tables what `nft list tables` prints */
function bridgesIn(tables: string): readonly string[] {
  return tables.split("\n").flatMap((line) => {
    const name = line.trim().replace(/^table ip /, "");
    const found = name.slice(tableName("").length);
    const isOurs = name === tableName(found) && bridge.safeParse(found).success;
    return isOurs ? [found] : [];
  });
}

/** Without them nothing was ever made. */
async function hasPrograms({ commands }: PrivilegedContext): Promise<boolean> {
  for (const program of ["ip", "nft"])
    if ((await commands.find(program)) === undefined) return false;
  return true;
}

/** One without a mark is nobody's. */
function isForeign(
  device: BridgeDevice | undefined,
  { install }: PrivilegedContext,
): boolean {
  return device?.alias !== undefined && device.alias !== aliasOf(install);
}

async function removeRoute(
  name: string,
  device: BridgeDevice | undefined,
  context: PrivilegedContext,
): Promise<void> {
  await nft(renderRemoval(name), context);
  // What systemd-resolved knows of a device goes with the device.
  if (device?.alias === aliasOf(context.install))
    await resolvectl([["revert", name]], context);
}

/** What the network marks the bridge of an install with. */
function aliasOf({ tag }: Install): string {
  return `banger-${tag}`;
}

const showOutput = z.strictObject({
  /** the rules are there, and lead to this address and port */
  redirected: z.boolean(),
});

/** Looks whether the rules of {@link routeRequest} are there: a restart of the host's firewall takes them away. */
export const showRouteRequest: PrivilegedRequest<
  Route,
  z.infer<typeof showOutput>
> = definePrivilegedRequest({
  name: "dns.show-route",
  input: routeInput,
  output: showOutput,
  timeoutMs: 15_000,
  run: async ({ bridge: name, gateway, port }, { commands, signal }) => {
    const { exitCode, stdout } = await commands.run({
      file: "nft",
      args: ["list", "table", "ip", tableName(name)],
      timeoutMs,
      signal,
      okExitCodes: [0, 1],
    });
    const target = `dnat to ${gateway}:${String(port)}`;
    const lines = stdout.split("\n");
    const redirected = lines.some((line) => line.trimEnd().endsWith(target));
    return { redirected: exitCode === 0 && redirected };
  },
});

/** A name is anybody's; the mark and the address are what the network gives to the bridge of this install. */
function requireOwn(
  device: BridgeDevice | undefined,
  { bridge: name, gateway }: Route,
  { install }: PrivilegedContext,
): void {
  if (!device?.isBridge)
    throw new DnsRouteError(name, "there is no such bridge");
  if (device.alias !== aliasOf(install))
    throw new DnsRouteError(name, "it does not belong to this install");
  if (!device.addresses.includes(gateway))
    throw new DnsRouteError(name, `it has not got the address ${gateway}`);
}

async function nft(
  input: string,
  { commands, signal }: PrivilegedContext,
): Promise<void> {
  await commands.run({
    file: "nft",
    args: ["-f", "-"],
    timeoutMs,
    signal,
    input,
  });
}

/** @returns `false` where systemd-resolved does not run, or cannot do this: names of VMs are a comfort on the host */
async function resolvectl(
  lines: readonly (readonly string[])[],
  { commands, logger, signal }: PrivilegedContext,
): Promise<boolean> {
  if ((await commands.find("resolvectl")) === undefined) return false;
  for (const args of lines) {
    const command: Command = { file: "resolvectl", args, timeoutMs, signal };
    try {
      await commands.run(command);
    } catch (error) {
      const expected = ["ERR_TOOL_MISSING", "ERR_COMMAND_FAILED"];
      if (!isBangerError(error) || !expected.includes(error.code)) throw error;
      logger.info("systemd-resolved does not take the route", { args, error });
      return false;
    }
  }
  return true;
}
