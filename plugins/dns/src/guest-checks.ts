import { join } from "node:path";
import type { Check, CommandRunner, Endpoint } from "@banger/core";
import type { BridgeGuests } from "./bridge-guests.js";
import { read } from "./read-command.js";
import type { DnsServer } from "./server.js";
import { readSmallFile } from "./small-file.js";
import type { Upstreams } from "./upstreams.js";

/** What ends the daemon and starts it again, while VMs run on: it reads its configuration and puts back what is missing. */
const restartDaemon = "banger daemon stop, then banger vm list";

/** Do the questions of guests on bridges arrive, and is there somebody to forward them to? */
export async function checkGuests(
  dns: {
    readonly bridges: Pick<BridgeGuests, "states">;
    readonly upstreams: Pick<Upstreams, "list">;
  },
  signal: AbortSignal,
): Promise<Check> {
  const check = { id: "dns.guests", title: "DNS of guests on a bridge" };
  const states = await dns.bridges.states(signal);
  if (states.length === 0) {
    const detail = "no running VM is on a bridge, so no guest asks here";
    return { ...check, status: "pass", detail };
  }
  const deaf = states.filter(({ listening }) => !listening);
  const unread = states.find(({ problem }) => problem !== undefined)?.problem;
  const astray = states.filter((state) => state.listening && !state.redirected);
  if (deaf.length > 0)
    return {
      ...check,
      status: "fail",
      detail: `nobody listens for the guests of ${names(deaf)}: another program has the port`,
      fix: `Set another listen in [plugins.dns], then: ${restartDaemon}`,
    };
  if (unread)
    return {
      ...check,
      status: "warn",
      detail: `whether port 53 of ${names(states)} is led here is not known: ${unread.message}`,
      fix: unread.hint ?? restartDaemon,
    };
  if (astray.length > 0)
    return {
      ...check,
      status: "fail",
      detail: `the rules that lead port 53 of ${names(astray)} here are gone, as after a restart of nftables`,
      fix: restartDaemon,
    };
  const upstreams = await dns.upstreams.list();
  if (upstreams.length === 0)
    return {
      ...check,
      status: "warn",
      detail: `guests of ${names(states)} find each other and nobody else: the host has no name server`,
      fix: 'Name one in the configuration, in [plugins.dns]: upstreams = ["192.0.2.1"]',
    };
  const detail = `guests of ${names(states)} ask here; other names than .vm are asked of ${upstreams.map(addressOf).join(", ")}`;
  return { ...check, status: "pass", detail };
}

function names(states: readonly { readonly bridge: string }[]): string {
  return states.map(({ bridge }) => bridge).join(", ");
}

function addressOf({ host, port }: Endpoint): string {
  return port === 53 ? host : `${host}:${String(port)}`;
}

/**
 * Does the host have a firewall that may drop what guests ask? Rules of ours accept nothing on behalf of others.
 * @param root of the files that are looked at
 */
export async function checkFirewall(
  dns: {
    readonly bridges: Pick<BridgeGuests, "states">;
    readonly server: Pick<DnsServer, "listen">;
  },
  commands: CommandRunner,
  signal: AbortSignal,
  root = "/",
): Promise<Check> {
  const check = {
    id: "dns.firewall",
    title: "firewall between guests and DNS",
  };
  const [first] = await dns.bridges.states(signal);
  if (!first) {
    const detail = "no running VM is on a bridge, so there is nothing to pass";
    return { ...check, status: "pass", detail };
  }
  const port = String(dns.server.listen.port);
  if (await isUfwOn(root))
    return {
      ...check,
      status: "warn",
      detail: `ufw is on; unless a rule of it says otherwise, it drops what guests of ${first.bridge} ask`,
      fix: `sudo ufw allow in on ${first.bridge} to any port ${port}`,
    };
  const firewalld = await read(commands, "firewall-cmd", ["--state"], signal);
  if (firewalld.trim() === "running")
    return {
      ...check,
      status: "warn",
      detail: `firewalld runs; unless a zone of it says otherwise, it rejects what guests of ${first.bridge} ask`,
      fix: `sudo firewall-cmd --permanent --add-port=${port}/udp --add-port=${port}/tcp && sudo firewall-cmd --reload`,
    };
  const detail = "neither ufw nor firewalld is in the way";
  return { ...check, status: "pass", detail };
}

/** `ufw status` is for root only; this file is for all. */
async function isUfwOn(root: string): Promise<boolean> {
  const text = await readSmallFile(join(root, "etc/ufw/ufw.conf"));
  return /^\s*ENABLED\s*=\s*yes\b/im.test(text);
}
