import { execFileSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { runVariables } from "../run-variables.js";

/** `CGROUP2_SUPER_MAGIC`, linux/magic.h */
const cgroup2 = 0x63677270;

/** A subnet for documentation (RFC 5737), so nobody's own. */
const addresses = { host: "198.51.100.2", outside: "198.51.100.1" };
const prefix = 30;

/** The subnet of the guests: a way back, so that only the host's rules keep them in. */
const guests = "172.16.0.0/24";

/**
 * Two network namespaces, joined by a cable: the one is the host of a run, in which everything happens, the other all that is beyond
 * it. The machine's own network is not touched.
 */
export class NetworkNamespaces {
  readonly #host = `banger-host-${process.pid}`;
  readonly #outside = `banger-out-${process.pid}`;

  /** @throws Error when the kernel refuses; nothing is left then */
  static make(): NetworkNamespaces {
    const made = new NetworkNamespaces();
    try {
      made.#make();
    } catch (error) {
      made.remove();
      throw error;
    }
    return made;
  }

  /** What tells the tests where they are. */
  get environment(): Readonly<Record<string, string>> {
    return { [runVariables.outside]: `${this.#outside} ${addresses.outside}` };
  }

  /** Program and arguments that run a command in the namespace of the host. */
  command(argv: readonly string[]): readonly [string, ...string[]] {
    // `ip netns exec` mounts another /sys, without the cgroups.
    const isUnified = statfsSync("/sys/fs/cgroup").type === cgroup2;
    const mount = "mount -t cgroup2 none /sys/fs/cgroup && ";
    const script = `${isUnified ? mount : ""}exec "$@"`;
    const inside = ["sh", "-c", script, "sh", ...argv];
    return ["ip", "netns", "exec", this.#host, ...inside];
  }

  /** Ends whatever still runs in them, and removes them. Idempotent. */
  remove(): void {
    const present = ip("netns", "list")
      .split("\n")
      .map((line) => line.split(" ")[0]);
    for (const name of [this.#host, this.#outside]) {
      if (!present.includes(name)) continue;
      const pids = ip("netns", "pids", name).split("\n").filter(Boolean);
      for (const pid of pids) endAtOnce(Number(pid));
      ip("netns", "delete", name);
    }
  }

  #make(): void {
    const [host, outside] = [this.#host, this.#outside];
    for (const name of [host, outside]) {
      ip("netns", "add", name);
      ip("-n", name, "link", "set", "lo", "up");
    }
    const cable = ["link", "add", "uplink", "type", "veth", "peer", "name"];
    ip("-n", host, ...cable, "downlink", "netns", outside);
    const ends = [
      { name: host, device: "uplink", address: addresses.host },
      { name: outside, device: "downlink", address: addresses.outside },
    ];
    for (const { name, device, address } of ends) {
      ip("-n", name, "address", "add", `${address}/${prefix}`, "dev", device);
      ip("-n", name, "link", "set", device, "up");
    }
    ip("-n", host, "route", "add", "default", "via", addresses.outside);
    ip("-n", outside, "route", "add", guests, "via", addresses.host);
    // It says at once that there is no way on, so that nobody waits for a name server that is not there.
    ip("netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1");
  }
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}

function endAtOnce(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
