import { execFileSync } from "node:child_process";
import { networkInterfaces } from "node:os";
import { names, read } from "./inventory-files.js";

/** Network devices, their addresses, bridges that are forwarded from, firewall rules; a line each. */
export function takeNetworkInventory(): string[] {
  return [
    ...names("/sys/class/net")
      .filter((name) => !isBridge(name) && !isPooled(name))
      .map((name) => `network device ${name}`),
    ...addresses(),
    ...forwarding(),
    ...firewall(),
  ];
}

/** A bridge of guests stays for the next ones. */
function isBridge(device: string): boolean {
  return /^br-fc(-|$)/.test(device);
}

/** Devices that wait for a VM: how many there are depends on time. */
function isPooled(device: string): boolean {
  const alias = read(`/sys/class/net/${device}/ifalias`) ?? "";
  return device.startsWith("tap-pool-") && alias.startsWith("banger-pool-");
}

/** Without those that the kernel itself gives to every device, at some time after it was made. */
function addresses(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => !isBridge(name))
    .flatMap(([name, list = []]) =>
      list
        .filter(({ address }) => !address.startsWith("fe80:"))
        .map(({ cidr, address }) => `address ${name} ${cidr ?? address}`),
    );
}

/** Bridges of guests from which the kernel forwards: a way out that is open. */
function forwarding(): string[] {
  const directory = "/proc/sys/net/ipv4/conf";
  return names(directory)
    .filter(isBridge)
    .filter((name) => read(`${directory}/${name}/forwarding`)?.trim() === "1")
    .map((name) => `forwarding from ${name}`);
}

/** Rules of iptables and tables of nftables; those of the kernel's own that iptables makes to look at them say nothing. */
function firewall(): string[] {
  if (process.getuid?.() !== 0) return [];
  const rules = output("/usr/sbin/iptables-save")
    // Counters of packets and bytes change by themselves.
    .map((line) => line.replace(/\[\d+:\d+\]/, "").trim())
    .filter((line) => !/^(#|\*|COMMIT$|:\S+ ACCEPT$|$)/.test(line));
  const tables = output("/usr/sbin/nft", "list", "tables").filter(
    (line) => !/^table ip6? (filter|nat|mangle|raw|security)$|^$/.test(line),
  );
  return [...rules, ...tables].map((line) => `rule ${line}`);
}

/** Lines that a program prints; none when it is not installed. */
function output(file: string, ...args: readonly string[]): string[] {
  try {
    const options = { encoding: "utf8", stdio: "pipe" } as const;
    return execFileSync(file, args, options).split("\n");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
