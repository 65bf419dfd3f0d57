import type { GuestHost } from "./guest-host.js";

/** Everything that an install or a VM could leave on the guest, a line each, sorted. */
export type HostTraces = readonly string[];

/** What a running system changes by itself, and what the tests put there. */
const ownLife = [
  ...["/proc", "/sys", "/dev", "/tmp", "/root", "/opt", "/run/user"],
  ...["/var/log", "/var/tmp", "/var/lib/systemd", "/run/systemd", "/run/udev"],
  ...[
    "/run/log",
    "/run/mount",
    "/run/xtables.lock",
    "/run/qga.state*",
    "/etc/.pwd.lock",
  ],
];

/**
 * Looks at files with owners and modes, units, users, network devices with addresses, firewall rules, resolver routes, block devices, mounts,
 * cgroups and the processes of the owner.
 */
export async function takeTraces(guest: GuestHost): Promise<HostTraces> {
  const pruned = ownLife.map((path) => `-path '${path}'`).join(" -o ");
  // What finds nothing ends with a failure, and files go while they are looked at.
  return guest.lines(`set +e +o pipefail; {
    find / -xdev \\( ${pruned} \\) -prune -o -printf 'file %p %u:%g %m %l\\n'
    find /run -xdev \\( ${pruned} \\) -prune -o -printf 'file %p %u:%g %m %l\\n'
    systemctl list-unit-files --no-legend --no-pager 'banger*' | sed 's/^/unit file /'
    systemctl list-units --all --no-legend --no-pager 'banger*' | sed 's/^/unit /'
    getent passwd | sed 's/^/user /'
    ip -brief address | sed 's/^/address /'
    ip route show table all | grep -v '^\\(broadcast\\|local\\|multicast\\)' | sed 's/^/route /'
    nft list tables | sed 's/^/rules /'
    iptables-save | grep -v '^#' | sed 's/ \\[.*//; s/^/iptables /'
    sysctl net.ipv4.ip_forward
    resolvectl domain | grep -v '^Global' | sed 's/^/resolver /'
    dmsetup ls | grep -v '^No devices' | sed 's/^/mapped /'
    losetup --list --noheadings --output NAME,BACK-FILE | sed 's/^/loop /'
    awk '{ print "mount " $2 }' /proc/mounts
    find /sys/fs/cgroup -maxdepth 2 -type d \\( -name '*banger*' -o -name 'firecracker' \\) | sed 's/^/cgroup /'
    pgrep -u tester -a | sed 's/^/process /'
  } | LC_ALL=C sort`);
}
