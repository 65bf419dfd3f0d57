import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  leaks,
  takeInventoryOf,
  type HostInventory,
} from "../host-inventory.js";
import { eventually, Install } from "../install.js";
import { read } from "../inventory-files.js";
import { vmmPidsOf } from "../own-processes.js";
import { Guests } from "./guests.js";
import { hello, Internet, seenAs, web } from "./internet.js";
import { helperLane, rootLane, type Subject } from "./lanes.js";
import {
  listRuleset,
  presentIptables,
  presentTables,
} from "./present-rules.js";
import {
  promisedIptables,
  promisedTables,
  type RulesOfHost,
} from "./promised-rules.js";

const dnsPort = 15391;

/** Does iptables see what passes between two ports of a bridge of this network namespace? Where br_netfilter is loaded it does. */
const filtersBridges =
  read("/proc/sys/net/bridge/bridge-nf-call-iptables")?.trim() === "1";

/** One host forwards what nobody drops, the other drops what nobody accepts, as where Docker is. */
const lanes = [
  { ...rootLane, backend: "nftables", policy: "ACCEPT", pool: 4 },
  { ...helperLane, backend: "iptables", policy: "DROP", pool: 0 },
] as const;

describe.each(lanes)("guests on a bridge that is made $name", (lane) => {
  let subject: Subject;
  let cli: Subject["cli"];
  let guests: Guests;
  let internet: Internet;
  const undo: (() => Promise<void>)[] = [];
  let before: HostInventory;
  let running: HostInventory;
  beforeAll(async () => {
    internet = await Internet.start();
    undo.push(() => internet.stop());
    execFileSync("iptables", ["-P", "FORWARD", lane.policy]);
    // Somebody's policy is a reason to leave forwarding on, for the files that follow too.
    undo.push(async () => {
      execFileSync("iptables", ["-P", "FORWARD", "ACCEPT"]);
    });
    const pool = `[network]\ntap_pool_size = ${lane.pool}\n`;
    subject = await lane.make(`${pool}${Install.dnsConfig(dnsPort)}`);
    undo.push(() => subject.remove());
    ({ cli } = subject);
    guests = new Guests(cli);
    before = inventory();
    await guests.run({ north: ["--nat"], south: [] });
    running = inventory();
  });
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  /** handles.json comes and goes. */
  const inventory = (): HostInventory =>
    takeInventoryOf(subject.place).filter(
      (entry) => !entry.endsWith("/handles.json"),
    );
  const reachesNothing = async (name: string): Promise<void> => {
    internet.takeRequests();
    internet.takeQuestions();
    const hosts = [web.address, web.name];
    const places = hosts.map((host) => [host, web.port] as const);
    expect(await guests.tryAll(name, places)).toBe("");
    expect(internet.takeRequests()).toEqual([]);
    expect(internet.takeQuestions()).not.toContain(web.name);
  };
  const killDaemon = async (): Promise<void> => {
    const pid = await cli.daemonPid();
    process.kill(pid, "SIGKILL");
    await eventually("the daemon is dead", async () => !isAlive(pid));
  };

  it("reach the internet with NAT, by address and by name, as the host", async () => {
    internet.takeRequests();
    expect(await guests.fetch("north", web.address)).toBe(hello(web));
    expect(await guests.fetch("north", web.name)).toBe(hello(web));
    expect(internet.takeQuestions()).toContain(web.name);
    const seen = { peer: seenAs.first, port: web.port };
    expect(internet.takeRequests()).toEqual([seen, seen]);
  });

  it("reach nothing without it, and nobody outside hears of them", async () => {
    await reachesNothing("south");
  });

  it("get and lose the way out while they run", async () => {
    await cli.ok(["vm", "set", "south", "--nat"]);
    expect(await guests.fetch("south", web.name)).toBe(hello(web));
    await cli.ok(["vm", "set", "south", "--no-nat"]);
    await reachesNothing("south");
    expect(await guests.fetch("north", web.name)).toBe(hello(web));
    expect(inventory()).toEqual(running);
  });

  it("have exactly the rules that the documents promise", async () => {
    const [north, south] = await Promise.all([
      guests.record("north"),
      guests.record("south"),
    ]);
    const host: RulesOfHost = {
      ...{ dnsPort, uplink: "uplink", backend: lane.backend },
      ...{ open: [north], closed: [south], filtersBridges },
      stateDirectory: subject.place.stateDirectory,
    };
    const taps = [north, south].map(({ runtime }) => runtime.tapDevice ?? "");
    const promised = listRuleset(promisedTables(host), taps);
    expect(presentTables()).toEqual(promised);
    expect([...presentIptables()].sort()).toEqual(
      [...promisedIptables(host)].sort(),
    );
    expect(taps.filter((name) => name.startsWith("tap-pool-"))).toHaveLength(
      lane.pool === 0 ? 0 : 2,
    );
  });

  it("find each other by name", async () => {
    for (const name of ["north.vm", "north"])
      expect(await guests.greet("south", name)).toBe("SSH");
    expect(await guests.greet("north", "south.vm")).toBe("SSH");
    expect(await guests.greet("north", "nobody.vm")).toBe("gaierror");
  });

  it("leave by another uplink when the host's default route changes", async () => {
    internet.route("second");
    internet.takeRequests();
    await eventually("traffic follows the route", async () => {
      return (await guests.fetch("north", web.address)) === hello(web);
    });
    expect(internet.takeRequests().at(-1)?.peer).toBe(seenAs.second);
    await reachesNothing("south");
    internet.route("first");
    await eventually("and back", async () => {
      return (await guests.fetch("north", web.address)) === hello(web);
    });
    expect(internet.takeRequests().at(-1)?.peer).toBe(seenAs.first);
    expect(inventory()).toEqual(running);
  });

  it.each([
    ["removed", (file: string) => rmSync(file)],
    ["unreadable", (file: string) => writeFileSync(file, '{"tapDevice": ')],
  ])(
    "are adopted by the next daemon when theirs was killed and handles.json is %s",
    async (_how, harm) => {
      await killDaemon();
      for (const name of await guests.directories())
        harm(join(name, "handles.json"));
      expect(await guests.states()).toEqual({
        north: "running",
        south: "running",
      });
      expect(await guests.fetch("north", web.name)).toBe(hello(web));
      await reachesNothing("south");
      expect(inventory()).toEqual(running);
    },
  );

  it("are let out and kept in again after another program flushed the firewall", async () => {
    await cli.ok(["daemon", "stop"]);
    for (const table of ["filter", "nat", "mangle"])
      execFileSync("iptables", ["-t", table, "-F"]);
    execFileSync("nft", ["flush", "ruleset"]);
    // As who reloads a firewall sets it again.
    execFileSync("iptables", ["-P", "FORWARD", lane.policy]);
    expect(await guests.states()).toEqual({
      north: "running",
      south: "running",
    });
    expect(await guests.fetch("north", web.name)).toBe(hello(web));
    await reachesNothing("south");
    expect(inventory()).toEqual(running);
  });

  it("leave nothing when one is deleted while it runs", async () => {
    const { id: gone } = await guests.record("north");
    await cli.ok(["vm", "delete", "north"]);
    expect(await guests.states()).toEqual({ south: "running" });
    const { id } = await guests.record("south");
    const left = leaks(before, inventory());
    const isOfNat = /BANGER-POSTROUTING|MASQUERADE/;
    expect(
      left.filter((entry) => entry.includes(gone) || isOfNat.test(entry)),
    ).toEqual([]);
    expect(left).toContain(`row ${id} south`);
  });

  it("leave nothing when daemon and VMM are killed and handles.json says nothing", async () => {
    const directories = await guests.directories();
    await cli.ok(["vm", "set", "south", "--nat"]);
    await killDaemon();
    const [vmm = 0] = vmmPidsOf(subject.place);
    process.kill(vmm, "SIGKILL");
    for (const directory of directories)
      writeFileSync(join(directory, "handles.json"), "");
    expect(await guests.states()).toEqual({ south: "stopped" });
    const left = leaks(before, inventory());
    expect(left.filter((entry) => !/^(VM directory|row) /.test(entry))).toEqual(
      [],
    );
    await cli.ok(["vm", "delete", "south"]);
    expect(leaks(before, inventory())).toEqual([]);
    expect(internet.strays()).toBe(0);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}
