import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { forwardMark, type VmRecord } from "@banger/core";
import { fakeVm, fakeVmId, memoryLogger } from "@banger/core/testing";
import { BridgeEgress } from "../src/bridge-egress.js";
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

/** Answers every connection with the address that it came from. */
const server = `
  const net = require("node:net");
  net.createServer((socket) => socket.on("error", () => {}).end(socket.remoteAddress)).listen(80, "0.0.0.0", () => console.log("ready"));`;
const client = `
  const [host] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port: 80, timeout: 1500 }).setEncoding("utf8");
  const end = (text) => { console.log(text); process.exit(); };
  socket.on("data", end).on("timeout", () => end("timeout")).on("error", (error) => end(error.code));`;
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
const fence = `table inet fence {
  chain leave {
    type filter hook forward priority -149; policy accept;
    iifname "br-fc" oifname "br-fc" accept
    iifname "br-fc" meta mark & ${String(forwardMark)} == 0 drop
    oifname "br-fc" meta mark & ${String(forwardMark)} == 0 drop
  }
}`;

/** ms; each command enters a namespace, and a packet that is dropped costs its time-out. */
const timeout = 60_000;

describe.runIf(works)(
  "between a guest, its host and the world",
  { timeout },
  () => {
    let host: NetworkNamespace;
    let world: NetworkNamespace;
    let guests: NetworkNamespace[];
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
    const boot = async (vm: VmRecord): Promise<NetworkNamespace> => {
      const { tapDevice = "", guestIp } = vm.runtime;
      const guest = await NetworkNamespace.make();
      guests.push(guest);
      await host.sh(
        `ip link add ${tapDevice} type veth peer name eth0 netns ${String(guest.pid)}`,
      );
      await host.sh(`ip link set ${tapDevice} master br-fc up`);
      await guest.sh(`ip address add ${guestIp}/24 dev eth0`);
      await guest.sh("ip link set eth0 up");
      await guest.sh("ip route add default via 172.16.0.1");
      return guest;
    };
    /** What is there, without the packet counts that `iptables-save` prints for the kernel's own chains, and without comments. */
    const rules = async (): Promise<readonly string[]> =>
      (await host.sh("iptables-save"))
        .split("\n")
        .filter((line) => line.startsWith("-A") || line.startsWith(":BANGER"))
        .map((line) => line.replace(/ \[\d+:\d+\]$/, ""));
    const forwarding = async (): Promise<string> =>
      (await host.sh("sysctl -n net.ipv4.conf.br-fc.forwarding")).trim();

    beforeEach(async () => {
      guests = [];
      [host, world] = await Promise.all([
        NetworkNamespace.make(),
        NetworkNamespace.make(),
      ]);
      await host.sh(
        `ip link add up0 type veth peer name eth0 netns ${String(world.pid)}`,
      );
      await host.sh("ip address add 203.0.113.1/24 dev up0");
      await host.sh("ip link set up0 up");
      await host.sh("ip route add default via 203.0.113.9 dev up0");
      await host.sh("ip link add br-fc type bridge");
      await host.sh("ip address add 172.16.0.1/24 dev br-fc");
      await host.sh("ip link set br-fc up");
      await host.run({ file: "nft", args: [fence], timeoutMs: 30_000 });
      await world.sh("ip address add 203.0.113.9/24 dev eth0");
      await world.sh("ip link set eth0 up");
      // The world would answer a guest's own address too: silence is not for want of a way back.
      await world.sh("ip route add 172.16.0.0/24 via 203.0.113.1");
      // And the host forwards for others already, as with Docker.
      await host.sh("sysctl -q -w net.ipv4.ip_forward=1");
      await world.serve(server);
      egress = new BridgeEgress({
        commands: host,
        hostFacts: { isRoot: true },
      });
    });
    afterEach(async () => {
      for (const namespace of [...guests, host, world])
        await namespace.remove();
    });

    it("a guest reaches the world with NAT, under the host's address, and not without", async () => {
      const closed = vmOf(1, false);
      const guest = await boot(closed);
      await host.sh("nft flush table inet fence");
      expect(await guest.node(client, "203.0.113.9")).toBe("172.16.0.2");
      await host.run({ file: "nft", args: [fence], timeoutMs: 30_000 });
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

    it("works where the host drops what it forwards", async () => {
      await host.sh("iptables -P FORWARD DROP");
      await host.sh("iptables -A FORWARD -j DROP");
      const vm = vmOf(1, true);
      const guest = await boot(vm);
      await egress.apply(vm, signal);
      expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
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

    it("the rules are these, twice like once, and gone in the end", async () => {
      const before = await rules();
      const [open, closed] = [vmOf(1, true), vmOf(2, false)];
      for (const vm of [open, closed]) await boot(vm);
      const expected = [
        ":BANGER-FORWARD -",
        ":BANGER-POSTROUTING -",
        ":BANGER-FORWARD -",
        "-A FORWARD -j BANGER-FORWARD",
        "-A FORWARD -j BANGER-FORWARD",
        "-A BANGER-FORWARD -s 172.16.0.2/32 -i br-fc -o up0 -m comment --comment banger-000000abc001 -j ACCEPT",
        "-A BANGER-FORWARD -d 172.16.0.2/32 -i up0 -o br-fc -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment banger-000000abc001 -j ACCEPT",
        "-A BANGER-FORWARD -s 172.16.0.2/32 -i br-fc -o up0 -m comment --comment banger-000000abc001 -j MARK --set-xmark 0x1000/0x1000",
        "-A BANGER-FORWARD -d 172.16.0.2/32 -i up0 -o br-fc -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment banger-000000abc001 -j MARK --set-xmark 0x1000/0x1000",
        "-A POSTROUTING -j BANGER-POSTROUTING",
        "-A BANGER-POSTROUTING -s 172.16.0.2/32 -o up0 -m comment --comment banger-000000abc001 -j MASQUERADE",
      ];
      for (let round = 0; round < 2; round++) {
        for (const vm of [open, closed]) await egress.apply(vm, signal);
        expect([...(await rules())].sort()).toEqual([...expected].sort());
      }
      expect(await forwarding()).toBe("1");
      await egress.apply(vmOf(1, false), signal);
      expect(await rules()).toEqual(before);
      expect(await forwarding()).toBe("0");
      await egress.apply(open, signal);
      const logger = memoryLogger();
      await egress.remove(open, logger, signal);
      expect(await forwarding()).toBe("0");
      expect((await rules()).join("\n")).not.toContain("abc001");
      await egress.remove(closed, logger, signal);
      await egress.remove(closed, logger, signal);
      expect(await rules()).toEqual(before);
    });

    it("VMs that come and go together leave nothing", async () => {
      const before = await rules();
      const vms = [1, 2, 3, 4, 5].map((number) =>
        vmOf(number, number % 2 === 1),
      );
      for (const vm of vms) await boot(vm);
      const logger = memoryLogger();
      await Promise.all(vms.map((vm) => egress.apply(vm, signal)));
      await Promise.all(
        vms.map((vm, index) =>
          index % 2 === 0
            ? egress.remove(vm, logger, signal)
            : egress.apply(vm, signal),
        ),
      );
      expect(await rules()).toEqual(before);
      await Promise.all(vms.map((vm) => egress.remove(vm, logger, signal)));
      expect(await rules()).toEqual(before);
    });

    it("the way out is followed when the VM is looked at again", async () => {
      const vm = vmOf(1, true);
      await boot(vm);
      await egress.apply(vm, signal);
      await host.sh("ip link add up1 type bridge");
      await host.sh("ip address add 198.51.100.1/24 dev up1");
      await host.sh("ip link set up1 up");
      await host.sh("ip route replace default via 198.51.100.9 dev up1");
      await egress.apply(vm, signal);
      expect((await rules()).join("\n")).not.toContain("up0");
      expect(
        (await rules()).filter((line) => line.includes("up1")),
      ).toHaveLength(5);
      await host.sh("ip route delete default");
      await egress.apply(vm, signal);
      expect((await rules()).join("\n")).not.toContain("BANGER");
      expect(await forwarding()).toBe("0");
    });

    it("rules that were flushed come back when the VM is looked at again", async () => {
      const vm = vmOf(1, true);
      const guest = await boot(vm);
      await egress.apply(vm, signal);
      const before = await rules();
      for (const table of ["filter", "nat", "mangle"])
        await host.sh(`iptables -t ${table} -F`);
      expect(await guest.node(client, "203.0.113.9")).toBe("timeout");
      await egress.apply(vm, signal);
      expect([...(await rules())].sort()).toEqual([...before].sort());
      expect(await guest.node(client, "203.0.113.9")).toBe("203.0.113.1");
    });

    it("rules of an earlier release are taken away", async () => {
      const before = await rules();
      const vm = vmOf(1, false);
      await boot(vm);
      await host.sh("iptables -N BANGER-FORWARD");
      await host.sh("iptables -A FORWARD -j BANGER-FORWARD");
      await host.sh(
        `iptables -A BANGER-FORWARD -i br-fc ! -o br-fc -m comment --comment banger-${vm.id} -j DROP`,
      );
      await egress.apply(vm, signal);
      expect(await rules()).toEqual(before);
    });

    it("removal needs neither the TAP device nor the bridge, and leaves what others put there", async () => {
      const vm = vmOf(1, true);
      await boot(vm);
      await egress.apply(vm, signal);
      await host.sh("iptables -A BANGER-FORWARD -s 10.9.9.9 -j ACCEPT");
      await host.sh("ip link delete br-fc");
      await host.sh("ip link delete tap-fc-00000001");
      await egress.remove(vm, memoryLogger(), signal);
      expect(await rules()).toEqual([
        ":BANGER-FORWARD -",
        "-A FORWARD -j BANGER-FORWARD",
        "-A BANGER-FORWARD -s 10.9.9.9/32 -j ACCEPT",
      ]);
    });

    it("a VM without a TAP device on a bridge is refused", async () => {
      const vm = vmOf(1, true);
      await host.sh("ip link add tap-fc-00000001 type bridge");
      await expect(egress.apply(vm, signal)).rejects.toMatchObject({
        code: "ERR_NAT_BRIDGE",
      });
    });

    it("doctor says what the host forwards", async () => {
      expect(await egress.check(signal)).toMatchObject({
        id: "nat.firewall",
        status: "pass",
        detail: expect.stringContaining("is on") as string,
      });
      expect(await egress.findUplink(signal)).toBe("up0");
      expect(await egress.findings()).toEqual([]);
    });
  },
);
