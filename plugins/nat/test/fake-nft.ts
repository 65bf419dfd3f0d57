import type { Command } from "@banger/core";
import type { ScriptedResult } from "@banger/core/testing";

/** One table. */
interface Table {
  readonly chains: Map<string, string[]>;
  readonly sets: Map<string, Set<string>>;
  /** map -> key -> chain */
  readonly maps: Map<string, Map<string, string>>;
}

class Refused extends Error {}

/** Plays `nft` for the table `inet banger-nat`, with transactions and with what the kernel refuses to delete. */
export class FakeNft {
  #table: Table | undefined;

  /** What there is, a name each. */
  objects(): string[] {
    if (!this.#table) return [];
    const { chains, sets, maps } = this.#table;
    return [
      "nft table",
      ...[...chains].flatMap(([name, rules]) => [
        `nft chain ${name}`,
        ...rules.map((rule, index) => `nft rule ${name} ${index} ${rule}`),
      ]),
      ...[...sets].flatMap(([name, elements]) =>
        [name, ...elements].map((text) => `nft set ${text}`),
      ),
      ...[...maps].flatMap(([name, elements]) => [
        `nft map ${name}`,
        ...[...elements].map((pair) => `nft map ${name} ${pair.join(" -> ")}`),
      ]),
    ];
  }

  play({ args, input }: Command): ScriptedResult {
    // `-f -`, `-j list KIND [inet banger-nat NAME]`
    const [first, second, kind = "", , , name = ""] = args;
    try {
      if (first === "-f") return this.#apply(String(input));
      if (first === "-j" && second === "list") return this.#list(kind, name);
      throw new Refused(`no such command: ${args.join(" ")}`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { exitCode: 1, stderr: error.message };
    }
  }

  #apply(input: string): ScriptedResult {
    const before = structuredClone(this.#table);
    try {
      for (const line of input.split("\n").filter((text) => text !== ""))
        this.#line(line);
      return {};
    } catch (error) {
      this.#table = before;
      throw error;
    }
  }

  #line(line: string): void {
    const [, verb, kind, name = "", rest = ""] =
      /^(\w+) (\w+) inet banger-nat ?(\S*) ?(.*)$/.exec(line) ?? [];
    const what = `${String(verb)} ${String(kind)}`;
    if (what === "add table")
      this.#table ??= { chains: new Map(), sets: new Map(), maps: new Map() };
    else if (what === "delete table") this.#table = undefined;
    else this.#change(what, name, rest, line);
  }

  #change(what: string, name: string, rest: string, line: string): void {
    const { chains, sets, maps } = this.#table ?? fail(line);
    switch (what) {
      case "add map":
        if (!maps.has(name)) maps.set(name, new Map());
        return;
      case "add set":
        if (!sets.has(name)) sets.set(name, new Set());
        return;
      case "add chain":
        if (!chains.has(name)) chains.set(name, []);
        return;
      case "flush chain":
        if (!chains.has(name)) fail(line);
        chains.set(name, []);
        return;
      case "add rule":
        (chains.get(name) ?? fail(line)).push(rest);
        for (const [, set = ""] of rest.matchAll(/@(\S+)/g))
          if (!sets.has(set) && !maps.has(set)) fail(line);
        return;
      case "delete chain":
        if (!chains.delete(name) || this.#leadsTo(name)) fail(line);
        return;
      case "delete set":
        if (!sets.delete(name) || this.#uses(`@${name} `)) fail(line);
        return;
      case "add element":
        this.#addElement(name, rest, line);
        return;
      case "delete element": {
        const key = rest.slice(2, -2);
        const found =
          maps.get(name)?.delete(key) ?? sets.get(name)?.delete(key);
        if (found !== true) fail(line);
        return;
      }
      default:
        fail(line);
    }
  }

  #addElement(name: string, rest: string, line: string): void {
    const { chains, sets, maps } = this.#table ?? fail(line);
    const [, key = "", target] =
      /^\{ (.*?)(?: : goto (\S+)| timeout \d+s)? \}$/.exec(rest) ?? fail(line);
    if (target === undefined) (sets.get(name) ?? fail(line)).add(key);
    else {
      if (!chains.has(target)) fail(line);
      (maps.get(name) ?? fail(line)).set(key, target);
    }
  }

  #leadsTo(chain: string): boolean {
    const targets = [...(this.#table?.maps.values() ?? [])].flatMap((map) => [
      ...map.values(),
    ]);
    return targets.includes(chain) || this.#uses(`goto ${chain} `);
  }

  #uses(text: string): boolean {
    const rules = [...(this.#table?.chains.values() ?? [])].flat();
    return rules.some((rule) => `${rule} `.includes(text));
  }

  #list(kind: string, name: string): ScriptedResult {
    const common = { family: "inet", table: "banger-nat" };
    const print = (objects: readonly unknown[]): ScriptedResult => ({
      stdout: JSON.stringify({ nftables: [{ metainfo: {} }, ...objects] }),
    });
    const { chains, maps, sets } = this.#table ?? {};
    if (kind === "chains")
      return print(
        [...(chains?.keys() ?? [])].map((chain) => ({
          chain: { ...common, name: chain },
        })),
      );
    if (kind === "set") {
      if (!sets?.has(name)) fail(name);
      return print([{ set: { ...common, name } }]);
    }
    const elem = [...(maps?.get(name) ?? fail(name))].map(([key, target]) => {
      const parts = key.split(" . ").map((part) => part.replaceAll('"', ""));
      return [
        parts.length === 1 ? parts[0] : { concat: parts },
        { goto: { target } },
      ];
    });
    return print([{ map: { ...common, name, elem } }]);
  }
}

function fail(line: string): never {
  throw new Refused(`Could not process rule: ${line}`);
}
