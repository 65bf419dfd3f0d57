import { execFileSync } from "node:child_process";

/** What nftables has now but for iptables' own tables, an entry for each chain, set and map: {@link listRuleset}. */
export function presentTables(): readonly string[] {
  return parseRuleset(run("nft", ["--stateless", "list", "ruleset"]));
}

/**
 * The same of a ruleset that is only written: as this very `nft` prints it, so that its version makes no difference.
 * @param devices that chains of the ruleset are bound to
 */
export function listRuleset(
  text: string,
  devices: readonly string[],
): readonly string[] {
  const script =
    'for device; do ip tuntap add "$device" mode tap; done; nft -f - && nft --stateless list ruleset';
  const args = ["--net", "sh", "-ec", script, "sh", ...devices];
  return parseRuleset(run("unshare", args, text));
}

/** Chains and rules of iptables, each with its table before it; without counters and the chains of the kernel's own. */
export function presentIptables(): readonly string[] {
  let table = "";
  return run("iptables-save", []).flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    const entry = line.replace(/ ?\[\d+:\d+\]/, "").trim();
    return /^(-A|:BANGER)/.test(entry) ? [`${table} ${entry}`] : [];
  });
}

/** `TABLE CHAIN-OR-SET: line; line`, sorted; what the kernel adds to sets by itself is left out. Pure. */
function parseRuleset(lines: readonly string[]): readonly string[] {
  const entries: string[] = [];
  let table = "";
  let block: string[] | undefined;
  for (const line of lines) {
    const text = line.trim();
    if (line.startsWith("table ")) table = text.replace(/ \{$/, "");
    else if (/^\t(chain|set|map) /.test(line)) block = [text];
    else if (line === "\t}" && block) {
      const [head = "", ...body] = block;
      entries.push(`${table} ${head} ${renderBody(head, body)}`);
      block = undefined;
    } else block?.push(text);
  }
  const isOurs = (entry: string): boolean =>
    !/^table ip6? (filter|nat|mangle|raw|security) /.test(entry);
  return entries.filter(isOurs).sort();
}

/** Elements have no order. */
function renderBody(head: string, body: readonly string[]): string {
  const text = body.join("; ");
  const [, before = text, elements] =
    /^(.*?)(?:; )?elements = \{ (.*) \}$/.exec(text) ?? [];
  if (elements === undefined || head.startsWith("set ")) return before;
  const sorted = elements.split(/,[; ]+/).sort();
  return `${before} elements: ${sorted.join(", ")}`;
}

function run(file: string, args: readonly string[], input = ""): string[] {
  return execFileSync(file, args, { encoding: "utf8", input }).split("\n");
}
