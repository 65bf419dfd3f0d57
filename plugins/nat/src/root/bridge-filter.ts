import type { CommandRunner } from "@banger/core";

/** ms */
const timeoutMs = 10_000;

/**
 * Does iptables decide about frames between two ports of a bridge? In this network namespace it does where br_netfilter is loaded and
 * nobody has switched that off: kernel, Documentation/networking/ip-sysctl.rst, bridge-nf-call-iptables. Reads only.
 */
export async function filtersBridges(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<boolean> {
  const { stdout } = await commands.run({
    file: "sysctl",
    // `-e`: without br_netfilter there is no such setting.
    args: ["-e", "-n", "net.bridge.bridge-nf-call-iptables"],
    timeoutMs,
    signal,
  });
  return stdout.trim() === "1";
}
