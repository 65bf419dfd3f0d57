import { existsSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  forwardMark,
  isBangerError,
  type CommandRunner,
  type VmRecord,
} from "@banger/core";
import {
  FakeGuestEgress,
  fakeInstall,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { AllowList } from "../src/allow-list.js";
import { BridgeEgress } from "../src/bridge-egress.js";
import { ensureGuest, readStatus, removeAll } from "../src/privileged.js";
import { NetworkNamespace, namespacesWork } from "./network-namespace.js";

const { signal } = new AbortController();
const works = await namespacesWork(
  "iptables",
  "iptables-save",
  "sysctl",
  "nft",
);
if (!works)
  console.warn(
    "NAT of a bridge was NOT tested for real: root, iproute2, procps, nftables and iptables are needed.",
  );

/** Of this network namespace; a new one has it too. */
const filtersBridges = existsSync(
  "/proc/sys/net/bridge/bridge-nf-call-iptables",
);
if (!filtersBridges)
  console.warn(
    "Guests of one bridge under a policy of iptables were NOT tested for real: br_netfilter is not loaded.",
  );

/** Answers every connection with the address that it came from, at ports 80 and 443. */
const server = `
  const net = require("node:net");
  const serve = (port, then) => net.createServer((socket) => socket.on("error", () => {}).end(socket.remoteAddress)).listen(port, "0.0.0.0", then);
  serve(80, () => serve(443, () => console.log("ready")));`;
const client = `
  const [host, port = "80"] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port: Number(port), timeout: 1500 }).setEncoding("utf8");
  const end = (text) => { console.log(text); process.exit(); };
  socket.on("data", end).on("timeout", () => end("timeout")).on("error", (error) => end(error.code));`;
/** Sends one datagram. */
const datagram = `
  const [host, port] = process.argv.slice(1);
  const socket = require("node:dgram").createSocket("udp4");
  socket.send("x", Number(port), host, () => socket.close());`;
/** Says something ten times a second, on one connection. */
const longClient = `
  const socket = require("node:net").connect({ host: "203.0.113.9", port: 81 });
  socket.on("data", () => console.log("ready"));
  setInterval(() => socket.write("x"), 100);`;
const echo = `
  let count = 0;
  require("node:net").createServer((socket) => { socket.write("hello"); socket.on("error", () => {}).on("data", () => { count++; }); }).listen(81, () => console.log("ready"));
  require("node:http").createServer((_, response) => response.end(String(count))).listen(82);`;

/** The part of the bridge's fence that the network makes and this plugin opens: what is not marked is dropped. */
const fence = `table inet banger-br-fc {
  chain leave {
    type filter hook forward priority -149; policy accept;
    iifname "br-fc" oifname "br-fc" accept
    iifname "br-fc" meta mark & ${String(forwardMark)} == 0 drop
    oifname "br-fc" meta mark & ${String(forwardMark)} == 0 drop
  }
}`;

/** ms; each command enters a namespace, and a packet that is dropped costs its time-out. */
const timeout = 120_000;

/** A host that uses iptables has a rule or a policy in it. */
const backends = ["iptables", "nftables"] as const;

let host: NetworkNamespace;
let world: NetworkNamespace;
let guests: NetworkNamespace[];
let egresses: BridgeEgress[];
let guestEgress: FakeGuestEgress;
let egress: BridgeEgress;

const vmOf = (number: number, nat: boolean): VmRecord =>
  fakeVm({
    id: fakeVmId(0xabc000 + number),
    name: `otter-${String(number)}`,
    spec: { nat },
    runtime: {
      networkMode: "bridge",
      guestIp: `172.16.0.${String(number + 1)}`,
      tapDevice: `tap-fc-0000000${String(number)}`,
    },
  });
const daemon = (
  options: {
    allow?: readonly string[];
    tag?: string;
    pauseMs?: number;
  } = {},
): BridgeEgress => {
  const { allow, tag = "00c0ffee", pauseMs } = options;
  guestEgress = new FakeGuestEgress();
  const made = new BridgeEgress({
    commands: host,
    privileged: new FakePrivileged(host, fakeInstall({ tag })),
    guestEgress,
    logger: memoryLogger(),
    allow: allow === undefined ? undefined : new AllowList(allow),
    ...(pauseMs === undefined ? {} : { pauseMs }),
  });
  egresses.push(made);
  return made;
};
const boot = async (
  vm: VmRecord,
  bridge = "br-fc",
): Promise<NetworkNamespace> => {
  const { tapDevice = "", guestIp } = vm.runtime;
  const guest = await NetworkNamespace.make();
  guests.push(guest);
  await host.sh(
    `ip link add ${tapDevice} type veth peer name eth0 netns ${String(guest.pid)}`,
  );
  await host.sh(`ip link set ${tapDevice} master ${bridge} up`);
  await guest.sh(`ip address add ${guestIp}/24 dev eth0`);
  await guest.sh("ip link set eth0 up");
  const gateway = guestIp.replace(/\d+$/, "1");
  await guest.sh(`ip route add default via ${gateway}`);
  return guest;
};
/** What is there, without the packet counts that `iptables-save` prints for the kernel's own chains, and without comments. */
const rules = async (): Promise<readonly string[]> =>
  (await host.sh("iptables-save"))
    .split("\n")
    .filter((line) => line.startsWith("-A") || line.startsWith(":BANGER"))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ""));
const tables = async (): Promise<readonly string[]> =>
  (await host.sh("nft list tables"))
    .split("\n")
    .filter((line) => line.startsWith("table inet"));
const forwarding = async (device = "br-fc"): Promise<string> =>
  (await host.sh(`sysctl -n net.ipv4.conf.${device}.forwarding`)).trim();
const hostForwarding = async (): Promise<string> =>
  (await host.sh("sysctl -n net.ipv4.ip_forward")).trim();
const remove = (vm: VmRecord, by = egress): Promise<void> =>
  by.remove(vm, undefined, memoryLogger(), signal);
const makeBridge = async (
  name: string,
  address: string,
  tag: string,
): Promise<void> => {
  await host.sh(`ip link add ${name} type bridge`);
  await host.sh(`ip link set ${name} alias banger-${tag}`);
  await host.sh(`ip address add ${address} dev ${name}`);
  await host.sh(`ip link set ${name} up`);
  await host.sh(`sysctl -q -w net.ipv4.conf.${name}.forwarding=0`);
};
const use = async (backend: (typeof backends)[number]): Promise<void> => {
  if (backend === "iptables") await host.sh("iptables -P FORWARD DROP");
};

/** Does iptables decide about frames between two ports of a bridge? A new network namespace has the kernel's default, 1. */
const filterBridges = (value: "0" | "1"): Promise<string> =>
  host.sh(`sysctl -q -e -w net.bridge.bridge-nf-call-iptables=${value}`);

async function setUp(): Promise<void> {
  guests = [];
  egresses = [];
  [host, world] = await Promise.all([
    NetworkNamespace.make(),
    NetworkNamespace.make(),
  ]);
  for (const program of ["dockerd", "ufw"]) host.missing.add(program);
  await filterBridges("0");
  await host.sh(
    `ip link add up0 type veth peer name eth0 netns ${String(world.pid)}`,
  );
  await host.sh("ip address add 203.0.113.1/24 dev up0");
  await host.sh("ip link set up0 up");
  await host.sh("ip route add default via 203.0.113.9 dev up0");
  await makeBridge("br-fc", "172.16.0.1/24", "00c0ffee");
  await host.run({ file: "nft", args: [fence], timeoutMs: 30_000 });
  await world.sh("ip address add 203.0.113.9/24 dev eth0");
  await world.sh("ip address add 203.0.113.10/24 dev eth0");
  await world.sh("ip link set eth0 up");
  // The world would answer a guest's own address too: silence is not for want of a way back.
  await world.sh("ip route add 172.16.0.0/24 via 203.0.113.1");
  await world.serve(server);
  egress = daemon();
}
async function tearDown(): Promise<void> {
  for (const one of egresses) await one.close();
  for (const namespace of [...guests, host, world]) await namespace.remove();
}

describe.runIf(works).each(backends)(
  "between a guest, its host and the world, by %s",
  { timeout },
  (backend) => {
    beforeEach(async () => {
      await setUp();
      await use(backend);
    });
    afterEach(tearDown);

    it("a guest reaches the world with NAT, under the host's address, and not without", async () => {
      const closed = vmOf(1, false);
      const guest = await boot(closed);
      await egress.apply(closed, signal);
      expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
      await egress.apply(vmOf(1, true), signal);
      expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
      await egress.apply(closed, signal);
      expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
    });

    it("NAT of one is no way out for another, nor a way in for the world", async () => {
      const [open, closed] = [vmOf(1, true), vmOf(2, false)];
      const [first, second] = [await boot(open), await boot(closed)];
      await first.serve(server);
      await egress.apply(open, signal);
      expect(await forwarding()).toBe("1");
      // The other one's start comes later, or its plugin is off.
      expect(await second.node(client, "203.0.113.9")).toBe("timeout");
      await egress.apply(closed, signal);
      expect(await second.node(client, "203.0.113.9")).toBe("timeout");
      expect(await first.node(client, "203.0.113.9")).toBe("203.0.113.1");
      expect(await world.node(client, "172.16.0.2")).toBe("timeout");
      // They and the host talk to each other.
      expect(await second.node(client, "172.16.0.2")).toBe("172.16.0.3");
      expect(await host.node(client, "172.16.0.2")).toBe("172.16.0.1");
    });

    it("a connection ends with the NAT that it had", async () => {
      await world.serve(echo);
      const vm = vmOf(1, true);
      const guest = await boot(vm);
      await egress.apply(vm, signal);
      await guest.serve(longClient);
      const count = async (): Promise<number> =>
        Number(
          await world.node(
            `fetch("http://127.0.0.1:82").then((reply) => reply.text()).then(console.log)`,
          ),
        );
      const before = await count();
      await expect.poll(count, { timeout: 10_000 }).toBeGreaterThan(before);
      await egress.apply(vmOf(1, false), signal);
      const at = await count();
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await count()).toBe(at);
    });

    it("twice is like once, and nothing is left in the end", async () => {
      const before = [await rules(), await tables(), await hostForwarding()];
      const [open, closed] = [vmOf(1, true), vmOf(2, false)];
      for (const vm of [open, closed]) await boot(vm);
      const states: unknown[] = [];
      for (let round = 0; round < 2; round++) {
        for (const vm of [open, closed]) await egress.apply(vm, signal);
        // Counters of one's own noise would differ.
        const text = await host.sh("nft -s list table inet banger-nat");
        states.push([
          text.replace(/ elements = \{[^}]*expires[^}]*\}/g, ""),
          await rules(),
        ]);
      }
      expect(states[1]).toEqual(states[0]);
      expect(await forwarding()).toBe("1");
      await egress.apply(vmOf(1, false), signal);
      expect(await forwarding()).toBe("0");
      expect(await rules()).toEqual(before[0]);
      await egress.apply(open, signal);
      await remove(open);
      expect(await forwarding()).toBe("0");
      expect(await host.sh("nft list table inet banger-nat")).not.toContain(
        "abc001",
      );
      await remove(closed);
      await remove(closed);
      const other = backend === "iptables" ? "1" : before[2];
      expect([await rules(), await tables(), await hostForwarding()]).toEqual([
        before[0],
        before[1],
        other,
      ]);
    });

    it("VMs that come and go together leave nothing", async () => {
      const before = [await rules(), await tables()];
      const vms = [1, 2, 3, 4, 5].map((number) =>
        vmOf(number, number % 2 === 1),
      );
      for (const vm of vms) await boot(vm);
      await Promise.all(vms.map((vm) => egress.apply(vm, signal)));
      await Promise.all(
        vms.map((vm, index) =>
          index % 2 === 0 ? remove(vm) : egress.apply(vm, signal),
        ),
      );
      expect(await rules()).toEqual(before[0]);
      await Promise.all(vms.map((vm) => remove(vm)));
      expect([await rules(), await tables()]).toEqual(before);
    });

    it("two installs side by side, each with its own VMs only", async () => {
      await makeBridge("br-fc-b", "172.17.0.1/24", "0000beef");
      const second = daemon({ tag: "0000beef" });
      const mine = vmOf(1, true);
      const base = vmOf(2, true);
      const theirs = fakeVm({
        ...base,
        runtime: { ...base.runtime, guestIp: "172.17.0.3" },
      });
      const guest = await boot(mine);
      const other = await boot(theirs, "br-fc-b");
      await egress.apply(mine, signal);
      await second.apply(theirs, signal);
      expect(await other.node(client, "203.0.113.9")).toBe("203.0.113.1");
      // Neither by its id nor through its bridge.
      await remove(theirs, egress);
      expect(await other.node(client, "203.0.113.9")).toBe("203.0.113.1");
      await expect(egress.apply(theirs, signal)).rejects.toMatchObject({
        code: "ERR_NAT_BRIDGE",
      });
      await remove(mine);
      expect(await forwarding("br-fc-b")).toBe("1");
      expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
      expect(await other.node(client, "203.0.113.9")).toBe("203.0.113.1");
      await remove(theirs, second);
      expect(await tables()).toEqual(["table inet banger-br-fc"]);
    });

    it("an install that goes, with everything of its VMs and nothing of another's", async () => {
      await makeBridge("br-fc-b", "172.17.0.1/24", "0000beef");
      const second = daemon({ tag: "0000beef" });
      const base = vmOf(3, true);
      const theirs = fakeVm({
        ...base,
        runtime: { ...base.runtime, guestIp: "172.17.0.4" },
      });
      for (const vm of [vmOf(1, true), vmOf(2, false)]) {
        await boot(vm);
        await egress.apply(vm, signal);
      }
      const other = await boot(theirs, "br-fc-b");
      await second.apply(theirs, signal);
      const context = { commands: host, logger: memoryLogger(), signal };
      const uninstall = (tag: string): Promise<unknown> =>
        removeAll.run({}, { ...context, install: fakeInstall({ tag }) });
      for (let round = 0; round < 2; round++)
        await uninstall(fakeInstall().tag);
      const { vms } = await readStatus.run(
        {},
        { ...context, install: fakeInstall() },
      );
      expect(vms).toEqual([]);
      expect(await other.node(client, "203.0.113.9")).toBe("203.0.113.1");
      await uninstall("0000beef");
      expect(await tables()).toEqual(["table inet banger-br-fc"]);
    });

    it("two installs whose daemons work at the same time", async () => {
      const before = [await rules(), await tables()];
      await makeBridge("br-fc-b", "172.17.0.1/24", "0000beef");
      const second = daemon({ tag: "0000beef" });
      const mine = vmOf(1, true);
      const base = vmOf(2, true);
      const theirs = fakeVm({
        ...base,
        runtime: { ...base.runtime, guestIp: "172.17.0.3" },
      });
      await boot(mine);
      await boot(theirs, "br-fc-b");
      for (let round = 0; round < 2; round++) {
        await Promise.all([
          egress.apply(mine, signal),
          second.apply(theirs, signal),
        ]);
        await Promise.all([remove(mine), second.apply(theirs, signal)]);
        await Promise.all([egress.apply(mine, signal), remove(theirs, second)]);
        expect(await host.sh("nft list map inet banger-nat leaving")).toContain(
          mine.runtime.guestIp,
        );
        await Promise.all([remove(mine), remove(theirs, second)]);
        expect([await rules(), await tables()]).toEqual(before);
      }
    });

    it("the way out is followed, also when there was none", async () => {
      await host.sh("ip route delete default");
      const follower = daemon({ pauseMs: 100 });
      const vm = vmOf(1, true);
      const guest = await boot(vm);
      await follower.apply(vm, signal);
      expect(await forwarding()).toBe("0");
      expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
      await host.sh("ip route add default via 203.0.113.9 dev up0");
      await expect.poll(forwarding, { timeout: 20_000 }).toBe("1");
      expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
      // Another device to the same world.
      await host.sh(
        `ip link add up1 type veth peer name eth1 netns ${String(world.pid)}`,
      );
      await host.sh("ip address add 198.51.100.1/24 dev up1");
      await host.sh("ip link set up1 up");
      await world.sh("ip address add 198.51.100.9/24 dev eth1");
      await world.sh("ip link set eth1 up");
      await host.sh("ip route replace default via 198.51.100.9 dev up1");
      const seen = async (): Promise<string> =>
        `${await host.sh("nft list table inet banger-nat")}\n${(await rules()).join("\n")}`;
      const poll = { timeout: 20_000 };
      await expect.poll(seen, poll).not.toContain("up0");
      expect(await seen()).toContain("up1");
      expect(await guest.node(client, "198.51.100.9")).toBe("198.51.100.1");
      await host.sh("ip route delete default");
      await expect.poll(forwarding, { timeout: 20_000 }).toBe("0");
      const left = async (): Promise<string> => (await rules()).join("\n");
      await expect.poll(left, poll).not.toContain("BANGER");
      // What has gone is not opened again by whoever follows.
      await remove(vm, follower);
      await host.sh("ip route add default via 203.0.113.9 dev up0");
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await tables()).toEqual(["table inet banger-br-fc"]);
    });

    it("rules that were flushed come back when the VM is looked at again", async () => {
      const vm = vmOf(1, true);
      const guest = await boot(vm);
      await egress.apply(vm, signal);
      const before = await rules();
      for (const table of ["filter", "nat", "mangle"])
        await host.sh(`iptables -t ${table} -F`);
      await host.sh("nft delete table inet banger-nat");
      expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
      await egress.apply(vm, signal);
      expect([...(await rules())].sort()).toEqual([...before].sort());
      expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
    });

    it("removal needs neither TAP device nor bridge, and leaves what others put there", async () => {
      const vm = vmOf(1, true);
      await boot(vm);
      await egress.apply(vm, signal);
      await host.sh("ip link delete br-fc");
      await host.sh("ip link delete tap-fc-00000001");
      const { tapDevice: _tap, ...runtime } = vm.runtime;
      await remove({ ...vm, runtime });
      expect(await tables()).toEqual(["table inet banger-br-fc"]);
      expect((await rules()).join("\n")).not.toContain("BANGER");
    });

    it("a list lets through what is on it, and what is refused is told", async () => {
      const listed = daemon({
        allow: ["203.0.113.9:443", "far.example.test:80"],
      });
      const vm = vmOf(1, true);
      const guest = await boot(vm);
      await listed.apply(vm, signal);
      expect(await guest.node(client, "203.0.113.9", "443")).toBe(
        "203.0.113.1",
      );
      expect(await guest.node(client, "203.0.113.9", "80")).toBe("timeout");
      expect(await guest.node(client, "203.0.113.10", "80")).toBe("timeout");
      await guest.node(datagram, "203.0.113.9", "53");
      // Names: the list decides, and an answer opens its address before it goes out.
      const { guestIp } = vm.runtime;
      expect(guestEgress.mayResolve(guestIp, "far.example.test")).toBe(true);
      expect(guestEgress.mayResolve(guestIp, "bad.example.test")).toBe(false);
      expect(guestEgress.mayResolve(guestIp, "bad.example.test")).toBe(false);
      expect(guestEgress.mayResolve("172.16.0.77", "far.example.test")).toBe(
        false,
      );
      await guestEgress.resolved({
        guestIp,
        name: "far.example.test",
        addresses: ["203.0.113.10"],
        ttlSeconds: 5,
      });
      expect(await guest.node(client, "203.0.113.10", "80")).toBe(
        "203.0.113.1",
      );
      expect(await guest.node(client, "203.0.113.10", "443")).toBe("timeout");
      expect(guestEgress.inForce(vm)).toEqual({
        kind: "listed",
        allow: ["203.0.113.9:443", "far.example.test:80"],
        recorded: true,
      });
      const refusals = await guestEgress.refusals(vm, signal);
      const brief = refusals.map(({ at: _at, count: _count, ...rest }) => rest);
      expect(brief).toHaveLength(5);
      expect(brief).toEqual(
        expect.arrayContaining([
          { protocol: "tcp", address: "203.0.113.9", port: 80 },
          { protocol: "udp", address: "203.0.113.9", port: 53 },
          {
            protocol: "tcp",
            address: "203.0.113.10",
            port: 80,
            name: "far.example.test",
          },
          {
            protocol: "tcp",
            address: "203.0.113.10",
            port: 443,
            name: "far.example.test",
          },
          { protocol: "dns", name: "bad.example.test" },
        ]),
      );
      const times = refusals.map(({ at }) => at);
      expect(times).toEqual([...times].sort().reverse());
      expect(Date.now() - Date.parse(times[0] ?? "")).toBeLessThan(60_000);
      expect(refusals.every(({ count }) => count >= 1)).toBe(true);
      // What was refused and what names opened outlasts a look by a new daemon, and not the VM.
      const later = daemon({
        allow: ["203.0.113.9:443", "far.example.test:80"],
      });
      await later.apply(vm, signal);
      expect(await guest.node(client, "203.0.113.10", "80")).toBe(
        "203.0.113.1",
      );
      expect(await guestEgress.refusals(vm, signal)).toHaveLength(4);
      await remove(vm, later);
      expect(await guestEgress.refusals(vm, signal)).toEqual([]);
    });

    it("a guest without NAT is told what it was refused, and not what stays on the bridge", async () => {
      const vm = vmOf(1, false);
      const guest = await boot(vm);
      await boot(vmOf(2, false));
      await egress.apply(vm, signal);
      await guest.node(datagram, "203.0.113.9", "123");
      await guest.node(datagram, "172.16.0.1", "123");
      await guest.node(datagram, "172.16.0.3", "123");
      expect(await guestEgress.refusals(vm, signal)).toMatchObject([
        { protocol: "udp", address: "203.0.113.9", port: 123, count: 1 },
      ]);
      expect(guestEgress.inForce(vm)).toEqual({
        kind: "closed",
        recorded: true,
      });
    });

    it("doctor says what the host uses, and whose rules are left", async () => {
      const vm = vmOf(1, true);
      await boot(vm);
      await egress.apply(vm, signal);
      const check = (ids: readonly VmRecord["id"][]) =>
        egress.check(() => Promise.resolve(ids), signal);
      expect(await check([vm.id])).toMatchObject([
        {
          id: "nat.firewall",
          status: "pass",
          detail: expect.stringMatching(
            new RegExp(`by ${backend}, .* is on`),
          ) as string,
        },
        { id: "nat.stale", status: "pass" },
      ]);
      const [, stale] = await check([]);
      expect(stale).toMatchObject({
        status: "warn",
        detail: expect.stringContaining(vm.id) as string,
      });
      // The fix is a command line, and does it.
      await host.run({
        file: "sh",
        args: ["-ec", stale?.fix ?? "false"],
        timeoutMs: 30_000,
      });
      expect((await check([]))[1]).toMatchObject({ status: "pass" });
      expect(await egress.findUplink(signal)).toBe("up0");
      expect(await egress.findings()).toEqual([]);
    });
  },
);

describe.runIf(works && filtersBridges)(
  "between guests, where iptables drops what stays on a bridge too",
  { timeout },
  () => {
    const comment = (number: number): string =>
      `-m comment --comment banger-000000abc00${String(number)}-tap-fc-0000000${String(number)}-00c0ffee`;
    const stay = (number: number): string =>
      `-A BANGER-FORWARD -s 172.16.0.${String(number + 1)}/32 -i br-fc -o br-fc ${comment(number)} -j ACCEPT`;
    const [open, closed] = [vmOf(1, true), vmOf(2, false)];
    let first: NetworkNamespace;
    let second: NetworkNamespace;
    beforeEach(async () => {
      await setUp();
      await use("iptables");
      await filterBridges("1");
      first = await boot(open);
      second = await boot(closed);
      for (const guest of [first, second]) await guest.serve(server);
    });
    afterEach(tearDown);

    const expectBothWays = async (): Promise<void> => {
      expect(await first.node(client, "172.16.0.3")).toBe("172.16.0.2");
      expect(await second.node(client, "172.16.0.2")).toBe("172.16.0.3");
    };

    it("they reach each other with and without NAT, and the world no further than before", async () => {
      const before = [await rules(), await tables()];
      expect(await first.node(client, "172.16.0.3")).toBe("timeout");
      for (const vm of [open, closed]) await egress.apply(vm, signal);
      await expectBothWays();
      expect(await first.node(client, "203.0.113.9")).toBe("203.0.113.1");
      expect(await second.node(client, "203.0.113.9")).toBe("timeout");
      expect(await world.node(client, "172.16.0.2")).toBe("timeout");
      await egress.apply(vmOf(1, false), signal);
      await expectBothWays();
      expect(await first.node(client, "203.0.113.9")).toBe("timeout");
      // What the one still may send, the other may no longer answer.
      await remove(open);
      expect(await second.node(client, "172.16.0.2")).toBe("timeout");
      await remove(closed);
      expect([await rules(), await tables()]).toEqual(before);
    });

    it("an isolated bridge stays closed: the network drops before iptables accepts", async () => {
      for (const vm of [open, closed]) await egress.apply(vm, signal);
      await expectBothWays();
      await host.sh(
        'nft insert rule inet banger-br-fc leave iifname "br-fc" oifname "br-fc" drop',
      );
      expect(await rules()).toEqual(expect.arrayContaining([stay(1), stay(2)]));
      expect(await first.node(client, "172.16.0.3")).toBe("timeout");
      expect(await second.node(client, "172.16.0.2")).toBe("timeout");
      expect(await first.node(client, "203.0.113.9")).toBe("203.0.113.1");
    });

    it("the rules are these, twice as once, and follow the setting", async () => {
      const wayOut = [
        `-A BANGER-FORWARD -s 172.16.0.2/32 -i br-fc -o up0 ${comment(1)} -j ACCEPT`,
        `-A BANGER-FORWARD -d 172.16.0.2/32 -i up0 -o br-fc -m conntrack --ctstate RELATED,ESTABLISHED ${comment(1)} -j ACCEPT`,
        ":BANGER-POSTROUTING -",
        "-A POSTROUTING -j BANGER-POSTROUTING",
        `-A BANGER-POSTROUTING -s 172.16.0.2/32 -o up0 ${comment(1)} -j MASQUERADE`,
      ];
      const forward = [":BANGER-FORWARD -", "-A FORWARD -j BANGER-FORWARD"];
      const sorted = async (): Promise<readonly string[]> =>
        [...(await rules())].sort();
      for (let round = 0; round < 2; round++) {
        for (const vm of [open, closed]) await egress.apply(vm, signal);
        expect(await sorted()).toEqual(
          [...forward, ...wayOut, stay(1), stay(2)].sort(),
        );
      }
      await filterBridges("0");
      for (const vm of [open, closed]) await egress.apply(vm, signal);
      expect(await sorted()).toEqual([...forward, ...wayOut].sort());
      await filterBridges("1");
      for (const vm of [vmOf(1, false), closed]) await egress.apply(vm, signal);
      expect(await sorted()).toEqual([...forward, stay(1), stay(2)].sort());
      await host.sh("iptables -P FORWARD ACCEPT");
      for (const vm of [open, closed]) await egress.apply(vm, signal);
      expect(await rules()).toEqual([]);
    });

    it("a guest that loses NAT has no way out at any step of it", async () => {
      for (const vm of [open, closed]) await egress.apply(vm, signal);
      expect(await first.node(client, "203.0.113.9")).toBe("203.0.113.1");
      const toWorld: string[] = [];
      const toGuest: string[] = [];
      const commands: CommandRunner = {
        find: (program) => host.find(program),
        run: async (command) => {
          const changes = command.args.some((arg) => /^-[ADINX]$/.test(arg));
          if (command.file === "iptables" && changes) {
            toWorld.push(await first.node(client, "203.0.113.9"));
            toGuest.push(await first.node(client, "172.16.0.3"));
          }
          return host.run(command);
        },
      };
      const { id, runtime } = open;
      const { tapDevice = "", guestIp } = runtime;
      await ensureGuest.run(
        { id, tapDevice, guestIp, open: false },
        { install: fakeInstall(), commands, logger: memoryLogger(), signal },
      );
      expect(new Set(toWorld)).toEqual(new Set(["timeout"]));
      expect(new Set(toGuest)).toEqual(new Set(["172.16.0.2"]));
    });
  },
);

describe.runIf(works)("the rules", { timeout }, () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it("are these in iptables", async () => {
    await use("iptables");
    const vm = vmOf(1, true);
    await boot(vm);
    await egress.apply(vm, signal);
    const comment =
      "-m comment --comment banger-000000abc001-tap-fc-00000001-00c0ffee";
    expect([...(await rules())].sort()).toEqual(
      [
        ":BANGER-FORWARD -",
        ":BANGER-POSTROUTING -",
        "-A FORWARD -j BANGER-FORWARD",
        `-A BANGER-FORWARD -s 172.16.0.2/32 -i br-fc -o up0 ${comment} -j ACCEPT`,
        `-A BANGER-FORWARD -d 172.16.0.2/32 -i up0 -o br-fc -m conntrack --ctstate RELATED,ESTABLISHED ${comment} -j ACCEPT`,
        "-A POSTROUTING -j BANGER-POSTROUTING",
        `-A BANGER-POSTROUTING -s 172.16.0.2/32 -o up0 ${comment} -j MASQUERADE`,
      ].sort(),
    );
    expect(await host.sh("nft list table inet banger-nat")).not.toContain(
      "masquerade",
    );
  });

  it("are these in nftables", async () => {
    const listed = daemon({
      allow: ["10.0.0.0/8:443", "192.0.2.7", "10.1.2.3:53/udp", "*.deb.test"],
    });
    await boot(vmOf(1, true));
    await boot(vmOf(2, false));
    await host.sh("sysctl -q -w net.ipv4.ip_forward=1");
    await listed.apply(vmOf(1, true), signal);
    await listed.apply(vmOf(2, false), signal);
    expect(await rules()).toEqual([]);
    const text = await host.sh("nft -s list table inet banger-nat");
    const lines = text.split("\n").map((line) => line.trim());
    const chain = (name: string): readonly string[] => {
      const from = lines.indexOf(`chain ${name} {`);
      return lines.slice(from + 1, lines.indexOf("}", from));
    };
    const id = "00c0ffee-000000abc001";
    const comment = 'comment "banger-000000abc001-tap-fc-00000001-00c0ffee"';
    expect(lines.filter((line) => line.startsWith("elements"))).toEqual([
      `elements = { "br-fc" . 172.16.0.2 : goto vm-${id} }`,
      `elements = { "br-fc" . 172.16.0.2 : goto back-${id} }`,
      `elements = { "br-fc" . 172.16.0.3 : goto vm-00c0ffee-000000abc002 }`,
      `elements = { 172.16.0.2 : goto leave-${id} }`,
    ]);
    expect(chain("prerouting")).toEqual([
      "type filter hook prerouting priority mangle; policy accept;",
      "iifname . ip saddr vmap @closed",
    ]);
    expect(chain("forward")).toEqual([
      "type filter hook forward priority mangle; policy accept;",
      "iifname . ip saddr vmap @leaving",
      "oifname . ip daddr vmap @returning",
    ]);
    expect(chain("postrouting")).toEqual([
      "type nat hook postrouting priority srcnat; policy accept;",
      "ip saddr vmap @translated",
    ]);
    expect(chain("pass")).toEqual(["meta mark set meta mark | 0x00001000"]);
    expect(chain("refused")).toEqual(["drop"]);
    expect(chain(`leave-${id}`)).toEqual([
      `oifname "up0" masquerade ${comment}`,
    ]);
    expect(chain(`back-${id}`)).toEqual([
      `iifname "up0" ct state established,related goto pass ${comment}`,
    ]);
    expect(chain(`vm-${id}`)).toEqual([
      'oifname "br-fc" return',
      `oifname "up0" ip daddr 10.0.0.0/8 meta l4proto { tcp, udp } th dport 443 goto pass ${comment}`,
      `oifname "up0" ip daddr 192.0.2.7 goto pass ${comment}`,
      `oifname "up0" ip daddr 10.1.2.3 udp dport 53 goto pass ${comment}`,
      `oifname "up0" ct state established,related goto pass ${comment}`,
      `oifname "up0" ip daddr @hosts-${id} goto pass ${comment}`,
      `oifname "up0" ip daddr . meta l4proto . th dport @services-${id} goto pass ${comment}`,
      `meta l4proto { tcp, udp } update @refused-${id} { ip daddr . meta l4proto . th dport counter } goto refused ${comment}`,
      `update @unported-${id} { ip daddr . meta l4proto counter } goto refused ${comment}`,
      `goto refused ${comment}`,
    ]);
    expect(chain("vm-00c0ffee-000000abc002").slice(0, 2)).toEqual([
      "fib daddr type { local, broadcast, multicast } return",
      "ip daddr 172.16.0.0/24 return",
    ]);
    expect(lines.filter((line) => line.startsWith("chain "))).toHaveLength(9);
  });

  it("of an earlier release are taken away", async () => {
    const before = await rules();
    const vm = vmOf(1, false);
    await boot(vm);
    for (const table of ["filter", "mangle"]) {
      await host.sh(`iptables -t ${table} -N BANGER-FORWARD`);
      await host.sh(`iptables -t ${table} -A FORWARD -j BANGER-FORWARD`);
      await host.sh(
        `iptables -t ${table} -A BANGER-FORWARD -i br-fc ! -o br-fc -m comment --comment banger-${vm.id} -j ACCEPT`,
      );
    }
    await egress.apply(vm, signal);
    expect(await rules()).toEqual(before);
  });

  it("leave the host's forwarding as it was, unless somebody else may count on it", async () => {
    const vm = vmOf(1, true);
    await boot(vm);
    expect(await hostForwarding()).toBe("0");
    await egress.apply(vm, signal);
    await egress.apply(vm, signal);
    expect(await hostForwarding()).toBe("1");
    await remove(vm);
    expect(await hostForwarding()).toBe("0");
    await egress.apply(vm, signal);
    await host.sh("nft add table ip other");
    await host.run({
      file: "nft",
      args: ["add chain ip other fw { type filter hook forward priority 0; }"],
      timeoutMs: 30_000,
    });
    await remove(vm);
    expect(await hostForwarding()).toBe("1");
  });

  it("change their kind with what the host uses", async () => {
    const vm = vmOf(1, true);
    const guest = await boot(vm);
    await egress.apply(vm, signal);
    expect(await rules()).toEqual([]);
    await host.sh("iptables -P FORWARD DROP");
    expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
    await egress.apply(vm, signal);
    expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
    expect(await host.sh("nft list table inet banger-nat")).not.toContain(
      "masquerade",
    );
    await host.sh("iptables -P FORWARD ACCEPT");
    await egress.apply(vm, signal);
    expect(await rules()).toEqual([]);
    expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
  });

  it("are no match for firewalld, and doctor says what is", async () => {
    await host.sh("nft add table inet firewalld");
    await host.sh("nft add chain inet firewalld filter_FORWARD");
    const [firewall] = await egress.check(() => Promise.resolve([]), signal);
    expect(firewall).toMatchObject({
      id: "nat.firewall",
      status: "warn",
      fix: expect.stringContaining(
        "firewall-cmd --permanent --zone=trusted --add-interface=br-fc",
      ) as string,
    });
  });

  it("do without iptables where it is not installed", async () => {
    for (const program of ["iptables", "iptables-save"])
      host.missing.add(program);
    const vm = vmOf(1, true);
    const guest = await boot(vm);
    await egress.apply(vm, signal);
    expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
    await remove(vm);
    expect(await tables()).toEqual(["table inet banger-br-fc"]);
  });

  it("of a VM that has left its address to another are in nobody's way", async () => {
    const former = vmOf(1, true);
    await boot(former);
    await egress.apply(former, signal);
    const next = fakeVm({ ...former, id: fakeVmId(0xdef) });
    await egress.apply(next, signal);
    expect(await host.sh("nft list map inet banger-nat leaving")).toContain(
      "vm-00c0ffee-000000000def",
    );
    await remove(former);
    expect(await host.sh("nft list map inet banger-nat leaving")).toContain(
      "vm-00c0ffee-000000000def",
    );
  });

  it("an empty list opens nothing, and a full set of refusals is no way out", async () => {
    const listed = daemon({ allow: [] });
    const vm = vmOf(1, true);
    const guest = await boot(vm);
    await listed.apply(vm, signal);
    await guest.node(`
      const socket = require("node:dgram").createSocket("udp4");
      socket.bind(async () => {
        for (let port = 1; port <= 1200; port++)
          await new Promise((done) => socket.send("x", port, "203.0.113.9", done));
        socket.close();
      });`);
    const refusals = await guestEgress.refusals(vm, signal);
    expect(refusals).toHaveLength(1025);
    expect(refusals.filter(({ port }) => port === undefined)).toMatchObject([
      { protocol: "udp", address: "203.0.113.9", count: 176 },
    ]);
    expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
  });

  it("are refused for a TAP device that is on no bridge of ours", async () => {
    const vm = vmOf(1, true);
    await host.sh("ip link add tap-fc-00000001 type bridge");
    const failure = await egress.apply(vm, signal).catch((e: unknown) => e);
    expect(isBangerError(failure) && failure.code).toBe("ERR_NAT_BRIDGE");
    await host.sh("ip link add br0 type bridge");
    await host.sh("ip link delete tap-fc-00000001");
    await host.sh("ip link add tap-fc-00000001 type veth peer name x0");
    await host.sh("ip link set tap-fc-00000001 master br0");
    await expect(egress.apply(vm, signal)).rejects.toMatchObject({
      code: "ERR_NAT_BRIDGE",
    });
    await host.sh("ip link set tap-fc-00000001 master br-fc");
    const elsewhere = fakeVm({
      ...vm,
      runtime: { ...vm.runtime, guestIp: "172.16.7.2" },
    });
    await expect(egress.apply(elsewhere, signal)).rejects.toMatchObject({
      code: "ERR_NAT_BRIDGE",
    });
    expect(await tables()).toEqual(["table inet banger-br-fc"]);
  });
});
