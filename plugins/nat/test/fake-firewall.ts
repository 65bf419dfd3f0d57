import type { Command } from "@banger/core";
import type { FakeCommandRunner, ScriptedResult } from "@banger/core/testing";
import { FakeNft } from "./fake-nft.js";

/** What a chain is called among the objects of a fake host: `filter FORWARD`. */
const builtIn = [
  "filter FORWARD",
  "nat POSTROUTING",
  "nat PREROUTING",
  "mangle FORWARD",
];

const ok = (stdout = ""): ScriptedResult => ({ stdout });
const fault = (exitCode: number, stderr: string): ScriptedResult => ({
  exitCode,
  stderr,
});

/**
 * Plays nft, iptables, ip and sysctl for one bridge `br-fc` with one port, the way out being `eth0`. Chains, rules and an open bridge are
 * objects, so that what is left of them is seen.
 * @param policy of iptables' FORWARD; with DROP the host uses iptables, also for what stays on the bridge, as where Docker is
 */
export function installFirewall(
  commands: FakeCommandRunner,
  objects: Set<string>,
  policy: "ACCEPT" | "DROP" = "ACCEPT",
): void {
  const nft = new FakeNft();
  const chains = new Map<string, string[]>(builtIn.map((key) => [key, []]));
  const note = (): void => {
    for (const object of objects)
      if (/^(chain|rule|nft) /.test(object)) objects.delete(object);
    for (const object of nft.objects()) objects.add(object);
    for (const [key, rules] of chains) {
      if (!builtIn.includes(key)) objects.add(`chain ${key}`);
      for (const rule of rules) objects.add(`rule ${key} ${rule}`);
    }
  };
  const jumpsTo = (key: string): boolean => {
    const [table = "", name = ""] = key.split(" ");
    return [...chains].some(
      ([from, rules]) =>
        from.startsWith(`${table} `) && rules.includes(`-j ${name}`),
    );
  };
  const iptables = ({ args }: Command): ScriptedResult => {
    const [wait, , , table = "", verb, name = "", ...rest] = args;
    if (wait !== "-w") return fault(2, "no wait for the lock");
    const key = `${table} ${name}`;
    const rules = chains.get(key);
    if (verb === "-N") {
      if (rules) return fault(1, "Chain already exists.");
      chains.set(key, []);
      return ok();
    }
    if (!rules) return fault(1, "No chain/target/match by that name.");
    switch (verb) {
      case "-S":
        return ok(
          [
            builtIn.includes(key) ? `-P ${name} ${policy}` : `-N ${name}`,
            ...rules.map((rule) => `-A ${name} ${rule}`),
            "",
          ].join("\n"),
        );
      case "-A":
        rules.push(rest.join(" "));
        return ok();
      case "-I":
        rules.unshift(rest.slice(1).join(" "));
        return ok();
      case "-C":
        return rules.includes(rest.join(" ")) ? ok() : fault(1, "Bad rule");
      case "-D": {
        const index = rules.indexOf(rest.join(" "));
        if (index < 0) return fault(1, "Bad rule");
        rules.splice(index, 1);
        return ok();
      }
      case "-X":
        if (rules.length > 0 || jumpsTo(key)) return fault(4, "busy");
        chains.delete(key);
        return ok();
      default:
        return fault(2, `unknown option ${String(verb)}`);
    }
  };
  commands
    .install("iptables", (command) => {
      const result = iptables(command);
      note();
      return result;
    })
    .install("nft", (command) => {
      const result = nft.play(command);
      note();
      return result;
    })
    .install("ip", ({ args }) =>
      ok(
        args.includes("link")
          ? '[{"master":"br-fc","ifalias":"banger-00c0ffee"}]'
          : args.includes("address")
            ? '[{"addr_info":[{"local":"172.16.0.1","prefixlen":24}]}]'
            : '[{"dst":"default","dev":"wlan0","metric":600},{"dst":"default","dev":"eth0"}]',
      ),
    )
    .install("sysctl", ({ args }) => {
      if (args.includes("net.ipv4.conf.br-fc.forwarding=1"))
        objects.add("open bridge");
      if (args.includes("net.ipv4.conf.br-fc.forwarding=0"))
        objects.delete("open bridge");
      if (args.includes("net.bridge.bridge-nf-call-iptables"))
        return ok(policy === "DROP" ? "1\n" : "");
      // Where others use it, it stays.
      if (policy === "ACCEPT") {
        if (args.includes("net.ipv4.ip_forward=1")) objects.add("forwarding");
        if (args.includes("net.ipv4.ip_forward=0"))
          objects.delete("forwarding");
      }
      const isOn = objects.has("forwarding");
      return ok(args.includes("-n") ? `${isOn ? "1" : "0"}\n` : "");
    });
}
