import { constants } from "node:fs";
import { access } from "node:fs/promises";
import type { Check, CommandRunner, Privileged, VmRecord } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { BridgeDevice } from "./bridge-device.js";
import type { BridgeSettings } from "./bridge-settings.js";
import { IpCommand, type NamedDevice } from "./ip-command.js";
import { readNetworkRules } from "./network-requests.js";
import { tapDeviceNames, vmOfAlias } from "./tap-names.js";
import type { TapPoolState } from "./tap-pool.js";

/** udev lets everybody open it, for what it gives is decided by who owns a device; containers often do not. */
const tunDevice = "/dev/net/tun";

/** iproute2, procps and nftables */
const programs = ["ip", "sysctl", "nft"];

/** What ends the daemon and starts it again, while VMs run on: it puts back what is missing. */
const restartDaemon = "banger daemon stop, then banger vm list";

/** What the check looks at. */
export interface BridgeCheckDeps {
  readonly commands: CommandRunner;
  readonly privileged: Privileged;
  readonly settings: BridgeSettings;
  readonly isolate: boolean;
  readonly install: { readonly tag: string };
  readonly poolState: TapPoolState;
  readonly nameservers: readonly string[];
  readonly vms: () => Promise<readonly VmRecord[]>;
  /** default: the host's */
  readonly tunDevice?: string;
}

interface Rules {
  readonly fence: "absent" | "open" | "isolating";
  readonly guarded: readonly string[];
}

/** Whether the network mode `bridge` works here, and confines guests as it should. Reads only. */
export async function bridgeCheck(deps: BridgeCheckDeps): Promise<Check> {
  const { commands, privileged, settings, install, poolState } = deps;
  const { name, address, subnet, guests } = settings;
  const check = { id: "host.network", title: "network of the guests" };
  const fail = (detail: string, fix: string): Check => ({
    ...{ ...check, status: "fail", fix },
    detail: `mode bridge: ${detail}`,
  });
  const lack = await privileged.problem();
  if (lack) return fail(lack.message, lack.hint ?? "");
  const paths = await Promise.all(programs.map((file) => commands.find(file)));
  const missing = programs.filter((_, index) => paths[index] === undefined);
  if (missing.length > 0)
    return fail(
      `missing: ${missing.join(", ")}`,
      "apt-get install -y --no-install-recommends iproute2 procps nftables",
    );
  if (await isTunClosed(privileged, deps.tunDevice))
    return fail(
      `this user may not open ${tunDevice}, as a VMM must`,
      `sudo modprobe tun; sudo chmod 666 ${tunDevice}`,
    );
  const bridge = new BridgeDevice(settings, install.tag, commands);
  const problem = await bridge.problem();
  if (problem !== undefined)
    return fail(problem, "Look at section [network]: banger config show");
  // The records before and after: a VM that starts or stops just now is in one of the two.
  const before = await deps.vms();
  const devices = await new IpCommand(commands).devices();
  const { signal } = new AbortController();
  const input = { bridge: name };
  const rules = await privileged.request(readNetworkRules, input, signal);
  const vms = [...before, ...(await deps.vms())];
  const ports = devices.filter(({ master }) => master === name);
  const open = unconfined(deps, ports, rules);
  if (open.length > 0)
    return fail(
      `the rules that confine guests are gone or not as configured (nft list ruleset), as after a restart of nftables: ${open.join(", ")}`,
      restartDaemon,
    );
  const isolation = deps.isolate
    ? "guests are kept from each other"
    : "guests reach each other";
  const { idle, size } = poolState;
  const pool =
    size === 0
      ? ""
      : `; ${String(idle)} of ${String(size)} TAP devices of the pool are ready`;
  const detail = `mode bridge: ${name}, ${address}/${String(subnet.prefix)}, addresses for ${String(guests)} VMs; ${isolation}${pool}`;
  const warn = (what: string, fix: string): Check => ({
    ...{ ...check, status: "warn", fix },
    detail: `${detail}; ${what}`,
  });
  const stale = staleThings(ports, devices, rules, vms);
  if (stale.length > 0)
    return warn(
      `of VMs that no longer exist: ${stale.map(({ what }) => what).join(", ")}`,
      stale.map(({ remove }) => remove).join("; "),
    );
  if (poolState.problem !== undefined)
    return warn(
      `no more could be made: ${poolState.problem}`,
      "banger daemon logs; the next start of a VM tries again",
    );
  const alone =
    deps.nameservers.length > 0
      ? ""
      : "; the host's name servers are on loopback addresses, so guests find names by the plugin dns only";
  return { ...check, status: "pass", detail: `${detail}${alone}` };
}

/** A VMM that runs as the daemon's user opens its TAP device itself. */
async function isTunClosed(
  { kind }: Privileged,
  device = tunDevice,
): Promise<boolean> {
  if (kind !== "helper") return false;
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return false;
  } catch (error) {
    if (hasErrorCode(error, "EACCES", "EPERM", "ENOENT")) return true;
    throw error;
  }
}

/** What does not confine the guests that have a device on the bridge as it should. */
function unconfined(
  { settings: { name }, isolate }: BridgeCheckDeps,
  ports: readonly NamedDevice[],
  rules: Rules,
): readonly string[] {
  const taps = ports.filter(({ alias }) => vmOfAlias(alias) !== undefined);
  if (taps.length === 0) return [];
  const guarded = new Set(rules.guarded);
  const wanted = isolate ? "isolating" : "open";
  return [
    ...(rules.fence === wanted ? [] : [`the fence of ${name}`]),
    ...taps
      .filter((tap) => !guarded.has(tap.name))
      .map((tap) => `the guard of ${tap.name}`),
    ...taps
      .filter(({ isIsolated }) => isIsolated !== isolate)
      .map((tap) => `the isolation of ${tap.name}`),
  ];
}

/** What VMs have left that have no record any more, and what removes it. */
function staleThings(
  ports: readonly NamedDevice[],
  devices: readonly NamedDevice[],
  { guarded }: Rules,
  vms: readonly VmRecord[],
): readonly { readonly what: string; readonly remove: string }[] {
  const owned = new Set(
    vms.map(
      ({ id, runtime }) =>
        `${runtime.tapDevice ?? tapDeviceNames(id)[0]} ${id}`,
    ),
  );
  const named = new Set(vms.map(({ runtime }) => runtime.tapDevice));
  const isThere = new Set(devices.map(({ name }) => name));
  const taps = ports.flatMap(({ name, alias }) => {
    const id = vmOfAlias(alias);
    if (id === undefined || owned.has(`${name} ${id}`)) return [];
    return [{ what: name, remove: `sudo ip link delete ${name}` }];
  });
  const guards = guarded
    .filter((name) => !isThere.has(name) && !named.has(name))
    .map((name) => ({
      what: `the guard of ${name}`,
      remove: `sudo nft delete table netdev banger-${name}`,
    }));
  return [...taps, ...guards];
}
