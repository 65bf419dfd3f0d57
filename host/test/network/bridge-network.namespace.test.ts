import { forwardMark, macAddress, type VmRecord } from "@banger/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BridgeNetwork } from "../../src/network/bridge-network.js";
import { renderGuard } from "../../src/network/source-guard.js";
import { TapDevices } from "../../src/network/tap-device.js";
import { makeBridge, vmOf, type BridgeOptions } from "./make-bridge-network.js";
import { NetworkNamespace, namespacesWork } from "./network-namespace.js";

const signal = new AbortController().signal;
const works = await namespacesWork("nft", "sysctl");
if (!works)
  console.warn(
    "The bridge was NOT tested for real: root, iproute2, procps and nftables are needed.",
  );

interface Link {
  readonly ifname: string;
  readonly address: string;
  readonly ifalias?: string;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly linkinfo?: {
    readonly info_data?: { readonly user?: string | number };
    readonly info_slave_data?: { readonly isolated?: boolean };
  };
}

/** ms; each command enters a namespace, and a packet that is dropped costs its time-out. */
const timeout = 60_000;

describe.runIf(works)("in a network namespace", { timeout }, () => {
  let host: NetworkNamespace;
  beforeEach(async () => {
    host = await NetworkNamespace.make();
  });
  afterEach(() => host.remove());

  const networkOf = (options: BridgeOptions = {}): BridgeNetwork =>
    makeBridge(host, options).network;
  const links = async (): Promise<readonly Link[]> =>
    JSON.parse(await host.sh("ip -json -details link show")) as Link[];
  const link = async (name: string): Promise<Link | undefined> =>
    (await links()).find(({ ifname }) => ifname === name);
  const names = async (): Promise<readonly string[]> =>
    (await links()).map(({ ifname }) => ifname).sort();
  const state = async (): Promise<readonly string[]> => [
    await host.sh("ip link show"),
    await host.sh("ip address show"),
    await host.sh("ip route show table all"),
    await host.sh("nft list ruleset"),
    await host.sh("sysctl net.ipv4.conf net.ipv6.conf.br-fc.disable_ipv6"),
  ];

  it("makes bridge and TAP device, twice like once, and removes the TAP device", async () => {
    const network = networkOf({ ownerUid: 65534 });
    const vm = vmOf(network);
    const { tapDevice = "" } = vm.runtime;
    await network.prepare(vm, signal);
    expect(await names()).toEqual(["br-fc", "lo", tapDevice]);
    const tap = await link(tapDevice);
    expect(tap?.master).toBe("br-fc");
    expect(tap?.flags).toContain("UP");
    expect(tap?.linkinfo?.info_data?.user).toBe("nobody");
    expect((await link("br-fc"))?.address).toBe("02:fc:ac:10:00:00");
    expect(await host.sh("ip -4 -br address show dev br-fc")).toMatch(
      /172\.16\.0\.1\/24\s*$/,
    );
    expect(tap?.ifalias).toBe(`banger-${vm.id}`);
    expect((await link("br-fc"))?.ifalias).toBe("banger-0123abcd");
    const once = await state();
    await network.prepare(vm, signal);
    expect(await state()).toEqual(once);
    await network.remove(vm);
    await network.remove(vm);
    expect(await names()).toEqual(["br-fc", "lo"]);
    expect(await host.sh("nft list ruleset")).toBe("");
  });

  it("makes nothing to remove something", async () => {
    const network = networkOf();
    await network.remove(vmOf(network));
    expect(await names()).toEqual(["lo"]);
  });

  it("makes one bridge for VMs that start together, and keeps its address", async () => {
    const network = networkOf();
    const vms = [1, 2, 3, 4].map((lease) => vmOf(network, lease));
    await Promise.all(vms.map((vm) => network.prepare(vm, signal)));
    const taps = vms.map(({ runtime }) => runtime.tapDevice ?? "");
    expect(await names()).toEqual(["br-fc", "lo", ...taps].sort());
    const { address } = (await link("br-fc")) ?? {};
    for (const vm of vms) await network.remove(vm);
    expect((await link("br-fc"))?.address).toBe(address);
  });

  it("closes the bridge whatever the host forwards", async () => {
    await host.sh("sysctl -q -w net.ipv4.ip_forward=1");
    const network = networkOf();
    await network.prepare(vmOf(network), signal);
    expect(await host.sh("sysctl -n net.ipv4.conf.br-fc.forwarding")).toBe(
      "0\n",
    );
    expect(await host.sh("sysctl -n net.ipv6.conf.br-fc.disable_ipv6")).toBe(
      "1\n",
    );
    expect(await host.sh("sysctl -n net.ipv4.ip_forward")).toBe("1\n");
  });

  it("finishes a bridge that was left half made", async () => {
    await host.sh("ip link add br-fc address 02:fc:ac:10:00:00 type bridge");
    const network: BridgeNetwork = networkOf({
      vms: () => Promise.resolve([vmOf(network)]),
    });
    await network.prepare(vmOf(network), signal);
    expect((await link("br-fc"))?.flags).toContain("UP");
    expect((await link("br-fc"))?.ifalias).toBe("banger-0123abcd");
    expect(await host.sh("ip -4 -br address show dev br-fc")).toContain(
      "172.16.0.1/24",
    );
    expect(await network.check()).toMatchObject({ status: "pass" });
  });

  it.each([
    ["the same subnet", "172.16.0.7/24"],
    ["a wider one", "172.16.3.7/12"],
    ["a part", "172.16.0.129/25"],
  ])(
    "refuses a subnet that the host has elsewhere: %s",
    async (_what, taken) => {
      await host.sh("ip link add other type bridge");
      await host.sh(`ip address add ${taken} dev other`);
      await host.sh("ip link set other up");
      const network = networkOf();
      const vm = vmOf(network);
      await expect(network.prepare(vm, signal)).rejects.toMatchObject({
        code: "ERR_NETWORK_CONFLICT",
        message: expect.stringContaining("dev other") as string,
      });
      expect(await names()).toEqual(["lo", "other"]);
      expect(await network.check()).toMatchObject({
        status: "fail",
        detail: expect.stringContaining("dev other") as string,
      });
    },
  );

  it("does not mind the default route and other subnets", async () => {
    await host.sh("ip link add other type bridge");
    await host.sh("ip address add 192.168.9.2/24 dev other");
    await host.sh("ip link set other up");
    await host.sh("ip route add default via 192.168.9.1");
    await host.sh("ip route add blackhole 10.9.0.0/16");
    const network = networkOf();
    await network.prepare(vmOf(network), signal);
    expect(await host.sh("ip route show default")).toContain("dev other");
  });

  it("refuses a bridge of another address, and a device that is none", async () => {
    const network = networkOf();
    const vm = vmOf(network);
    const conflict = (text: string) => ({
      code: "ERR_NETWORK_CONFLICT",
      kind: "conflict",
      message: expect.stringContaining(text) as string,
    });
    await host.sh("ip link add br-fc type bridge");
    await host.sh("ip address add 10.9.0.1/24 dev br-fc");
    await expect(network.prepare(vm, signal)).rejects.toMatchObject(
      conflict("10.9.0.1/24"),
    );
    await host.sh("ip link delete br-fc");
    await host.sh("ip link add br-fc type veth peer name other");
    await expect(network.prepare(vm, signal)).rejects.toMatchObject(
      conflict("veth"),
    );
    expect(await names()).toEqual(["br-fc", "lo", "other"]);
  });

  it("refuses a TAP device's name that something else has", async () => {
    const network = networkOf();
    const vm = vmOf(network);
    const { tapDevice = "" } = vm.runtime;
    await host.sh(`ip link add ${tapDevice} type bridge`);
    await expect(network.prepare(vm, signal)).rejects.toMatchObject({
      code: "ERR_NETWORK_CONFLICT",
      message: expect.stringContaining(tapDevice) as string,
    });
  });

  const conflict = (text: string) => ({
    code: "ERR_NETWORK_CONFLICT",
    message: expect.stringContaining(text) as string,
  });

  it("keeps a bridge that has our two addresses and no mark, and marks it", async () => {
    await host.sh("ip link add br-fc address 02:fc:ac:10:00:00 type bridge");
    await host.sh("ip address add 172.16.0.1/24 dev br-fc");
    await host.sh("ip link set br-fc up");
    const network = networkOf();
    await network.prepare(vmOf(network), signal);
    expect((await link("br-fc"))?.ifalias).toBe("banger-0123abcd");
  });

  it("refuses a bridge that somebody else has made, with and without our address", async () => {
    const network = networkOf();
    await host.sh("ip link add br-fc type bridge");
    for (const line of [
      "link set br-fc up",
      "address add 172.16.0.1/24 dev br-fc",
    ]) {
      await host.sh(`ip ${line}`);
      await expect(
        network.prepare(vmOf(network), signal),
      ).rejects.toMatchObject(conflict("no mark of ours"));
    }
    expect(await names()).toEqual(["br-fc", "lo"]);
  });

  it("shares its bridge with no other install", async () => {
    const network = networkOf();
    await network.prepare(vmOf(network), signal);
    const before = await state();
    const other = networkOf({ tag: "fedc9876" });
    const vm = vmOf(other, 2);
    await expect(other.prepare(vm, signal)).rejects.toMatchObject({
      ...conflict("banger-0123abcd"),
      hint: expect.stringMatching(
        /network\.bridge.*network\.address/,
      ) as string,
    });
    await other.remove(vm);
    expect(await state()).toEqual(before);
    // Nor takes away what it did not make, when no device is joined yet.
    await host.sh(`ip link delete ${vmOf(network).runtime.tapDevice ?? ""}`);
    await other.remove(vm);
    expect(await host.sh("nft list tables inet")).toContain("banger-br-fc");
  });

  it("takes over a bridge that another install has left without a VM", async () => {
    const gone = networkOf();
    await gone.prepare(vmOf(gone), signal);
    await gone.remove(vmOf(gone));
    const other = networkOf({ tag: "fedc9876" });
    expect(await other.check()).toMatchObject({ status: "pass" });
    await other.prepare(vmOf(other, 2), signal);
    expect((await link("br-fc"))?.ifalias).toBe("banger-fedc9876");
    await expect(gone.prepare(vmOf(gone), signal)).rejects.toMatchObject(
      conflict("banger-fedc9876"),
    );
    // A mark that no install makes is somebody's.
    await other.remove(vmOf(other, 2));
    await host.sh("ip link set dev br-fc alias mine");
    await expect(gone.prepare(vmOf(gone), signal)).rejects.toMatchObject(
      conflict('"mine"'),
    );
  });

  it.each([
    ["a bridge", "ip link add TAP type bridge", undefined],
    [
      "a TAP device of another VM",
      "ip tuntap add dev TAP mode tap",
      "banger-abcdef02ffff",
    ],
    [
      "a TAP device of another user",
      "ip tuntap add dev TAP mode tap user 65534",
      undefined,
    ],
    ["a TUN device", "ip tuntap add dev TAP mode tun user 0", undefined],
  ])("neither uses nor removes %s of our name", async (_what, line, alias) => {
    const network = networkOf();
    const vm = vmOf(network);
    const { tapDevice = "" } = vm.runtime;
    await host.sh(line.replace("TAP", tapDevice));
    if (alias !== undefined)
      await host.sh(`ip link set dev ${tapDevice} alias ${alias}`);
    const before = await link(tapDevice);
    await expect(network.prepare(vm, signal)).rejects.toMatchObject(
      conflict(tapDevice),
    );
    await network.remove(vm);
    expect(await link(tapDevice)).toEqual(before);
  });

  it("makes a TAP device anew that was left half made or is another user's, unless it is in use", async () => {
    const vm = vmOf(networkOf());
    const { tapDevice = "" } = vm.runtime;
    await host.sh(`ip tuntap add dev ${tapDevice} mode tap user 65534`);
    const owner = async (): Promise<string | number | undefined> =>
      (await link(tapDevice))?.linkinfo?.info_data?.user;
    await networkOf({ ownerUid: 65534 }).prepare(vm, signal);
    expect((await link(tapDevice))?.ifalias).toBe(`banger-${vm.id}`);
    expect(await owner()).toBe("nobody");
    await networkOf({ ownerUid: 64123 }).prepare(vm, signal);
    expect(await owner()).toBe(64123);
    expect((await link(tapDevice))?.master).toBe("br-fc");
    // Up without somebody who has it open, as here, it has no carrier.
    expect((await link(tapDevice))?.flags).toContain("NO-CARRIER");
  });

  it("removes a TAP device that was left half made", async () => {
    const network = networkOf({ ownerUid: 64123 });
    const vm = vmOf(network);
    await host.sh(
      `ip tuntap add dev ${vm.runtime.tapDevice ?? ""} mode tap user 64123`,
    );
    await network.remove(vm);
    expect(await names()).toEqual(["lo"]);
  });

  it("gives one address to one VM", async () => {
    const network = networkOf();
    const [vm, other] = [vmOf(network, 1), vmOf(network, 2)];
    const { guestIp } = vm.runtime;
    const twin = { ...other, runtime: { ...other.runtime, guestIp } };
    const outcomes = await Promise.allSettled([
      network.prepare(vm, signal),
      network.prepare(twin, signal),
    ]);
    expect(outcomes).toMatchObject([
      { status: "fulfilled" },
      { status: "rejected", reason: conflict(guestIp) },
    ]);
    await network.remove(twin);
    await network.remove(vm);
    await network.prepare(twin, signal);
  });

  it("doctor names what a flush of the rules has opened, and preparing again closes it", async () => {
    const network: BridgeNetwork = networkOf({
      vms: () => Promise.resolve([1, 2].map((lease) => vmOf(network, lease))),
    });
    const vms = [vmOf(network, 1), vmOf(network, 2)];
    for (const vm of vms) await network.prepare(vm, signal);
    const before = await state();
    expect(await network.check()).toMatchObject({ status: "pass" });
    await host.sh("nft flush ruleset");
    expect(await network.check()).toMatchObject({
      status: "fail",
      detail: expect.stringContaining(
        vms[1]?.runtime.tapDevice ?? "",
      ) as string,
      fix: expect.stringContaining("banger daemon stop") as string,
    });
    for (const vm of vms) await network.prepare(vm, signal);
    expect(await network.check()).toMatchObject({ status: "pass" });
    expect(await state()).toEqual(before);
  });

  it("isolates the VMs that run when it is switched on, and ends that when it is switched off", async () => {
    const vms = (): Promise<readonly VmRecord[]> =>
      Promise.resolve([1, 2].map((lease) => vmOf(networkOf(), lease)));
    const isolated = async (): Promise<readonly (boolean | undefined)[]> =>
      (await links())
        .filter(({ ifname }) => ifname.startsWith("tap-"))
        .map(({ linkinfo }) => linkinfo?.info_slave_data?.isolated);
    const [open, apart] = [
      networkOf({ vms }),
      networkOf({ vms, isolate: true }),
    ];
    for (const vm of await vms()) await open.prepare(vm, signal);
    expect(await isolated()).toEqual([false, false]);
    const before = await state();
    expect(await apart.check()).toMatchObject({
      status: "fail",
      detail: expect.stringMatching(
        /fence of br-fc.*isolation of tap-fc-/,
      ) as string,
    });
    for (const vm of await vms()) await apart.restore(vm, signal);
    expect(await isolated()).toEqual([true, true]);
    expect(await apart.check()).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("kept from each other") as string,
    });
    expect(await open.check()).toMatchObject({ status: "fail" });
    for (const vm of await vms()) await open.restore(vm, signal);
    expect(await isolated()).toEqual([false, false]);
    expect(await state()).toEqual(before);
  });

  it("doctor names what VMs without a record have left, and the command that removes it", async () => {
    const network = networkOf();
    const vm = vmOf(network);
    const { tapDevice = "" } = vm.runtime;
    await network.prepare(vm, signal);
    const remove = `sudo ip link delete ${tapDevice}`;
    expect(await network.check()).toMatchObject({
      status: "warn",
      fix: remove,
    });
    await host.sh(remove.replace("sudo ", ""));
    const removeGuard = `sudo nft delete table netdev banger-${tapDevice}`;
    expect(await network.check()).toMatchObject({
      status: "warn",
      fix: removeGuard,
    });
    await host.sh(removeGuard.replace("sudo ", ""));
    expect(await network.check()).toMatchObject({ status: "pass" });
  });

  it("keeps the fence until the last VM is gone", async () => {
    const network = networkOf();
    const vms = [vmOf(network, 1), vmOf(network, 2)];
    for (const vm of vms) await network.prepare(vm, signal);
    const tables = (): Promise<string> => host.sh("nft list tables inet");
    for (const vm of vms) {
      expect(await tables()).toBe("table inet banger-br-fc\n");
      await network.remove(vm);
    }
    expect(await tables()).toBe("");
  });

  it("can be cancelled", async () => {
    const network = networkOf();
    const aborted = AbortSignal.abort();
    await expect(network.prepare(vmOf(network), aborted)).rejects.toMatchObject(
      { code: "ERR_CANCELLED" },
    );
    expect(await names()).toEqual(["lo"]);
  });

  describe("with a guest, which is a namespace behind a veth in place of the TAP device", () => {
    const connect = `
      const [host, port, localAddress] = process.argv.slice(1);
      const socket = require("node:net").connect({ host, port: Number(port), localAddress, timeout: 1500 });
      const end = (text) => { console.log(text); process.exit(); };
      socket.on("connect", () => end("connected")).on("timeout", () => end("timeout")).on("error", (error) => end(error.code));`;
    let guests: NetworkNamespace[] = [];
    afterEach(async () => {
      for (const guest of guests) await guest.remove();
      guests = [];
    });

    const boot = async (
      network: BridgeNetwork,
      lease: number,
      isolate = false,
    ): Promise<NetworkNamespace> => {
      const vm = vmOf(network, lease);
      const { tapDevice = "" } = vm.runtime;
      await network.prepare(vm, signal);
      await host.sh(`ip link delete ${tapDevice}`);
      const guest = await NetworkNamespace.make();
      guests.push(guest);
      const peer = `peer name eth0 address ${macAddress(vm.id)} netns ${String(guest.pid)}`;
      await host.sh(`ip link add ${tapDevice} type veth ${peer}`);
      const { guestIp } = vm.runtime;
      await host.run({
        file: "nft",
        args: ["-f", "-"],
        input: renderGuard(tapDevice, { id: vm.id, guestIp }),
        timeoutMs: 30_000,
      });
      const install = { owner: { uid: 0, gid: 0 }, tag: "0123abcd" };
      await new TapDevices(install, host).join(
        tapDevice,
        "br-fc",
        isolate,
        signal,
      );
      await guest.sh(
        `ip address add ${network.guestNetwork(vm).address} dev eth0`,
      );
      await guest.sh("ip link set eth0 up");
      return guest;
    };

    it("lets nothing through to elsewhere or from there, whatever the host forwards or accepts", async () => {
      const network = networkOf();
      const guest = await boot(network, 1);
      const other = await boot(network, 2);
      const world = await NetworkNamespace.make();
      guests.push(world);
      await host.sh(
        `ip link add up0 type veth peer name eth0 netns ${String(world.pid)}`,
      );
      await host.sh("ip address add 203.0.113.1/24 dev up0");
      await host.sh("ip link set up0 up");
      await world.sh("ip address add 203.0.113.9/24 dev eth0");
      await world.sh("ip link set eth0 up");
      await world.sh("ip route add 172.16.0.0/24 via 203.0.113.1");
      await guest.sh("ip route add default via 172.16.0.1");
      // As any program does, and the kernel copies it to the bridge.
      await host.sh("sysctl -q -w net.ipv4.ip_forward=0");
      await host.sh("sysctl -q -w net.ipv4.ip_forward=1");
      expect(await host.sh("sysctl -n net.ipv4.conf.br-fc.forwarding")).toBe(
        "1\n",
      );
      // What accepts, and what marks before the mangle table.
      const nft = (text: string) =>
        host.run({ file: "nft", args: [text], timeoutMs: 30_000 });
      await nft(
        `table ip before { chain base { type filter hook prerouting priority -300; meta mark set 0xffffffff; }; }`,
      );
      await nft(
        `table ip accepts { chain base { type filter hook forward priority 0; accept; }; }`,
      );
      expect(await guest.node(connect, "203.0.113.9", "7")).toBe("timeout");
      expect(await world.node(connect, "172.16.0.2", "7")).toBe("timeout");
      expect(await other.node(connect, "172.16.0.2", "7")).toBe("ECONNREFUSED");
      expect(await guest.node(connect, "172.16.0.1", "7")).toBe("ECONNREFUSED");
      // Nobody is kept out for want of a way: with the mark it works, and the mark goes no further.
      await nft(
        `table ip marks { chain base { type filter hook forward priority -150; meta mark set meta mark | ${String(forwardMark)}; }; }`,
      );
      await nft(
        `table ip after { chain base { type filter hook postrouting priority 0; oifname "up0" meta mark & ${String(forwardMark)} != 0 drop; }; }`,
      );
      await nft("flush table ip before");
      expect(await guest.node(connect, "203.0.113.9", "7")).toBe(
        "ECONNREFUSED",
      );
    });

    it("keeps guests from each other, directly and by way of the host, and lets them reach the host", async () => {
      const apart = networkOf({ isolate: true });
      const guest = await boot(apart, 1, true);
      const other = await boot(apart, 2, true);
      // As whoever opens a way out does: the host forwards, and what comes from a guest is marked.
      await host.sh("sysctl -q -w net.ipv4.ip_forward=1");
      await host.sh("sysctl -q -w net.ipv4.conf.br-fc.forwarding=1");
      await host.run({
        file: "nft",
        args: [
          `table ip marks { chain base { type filter hook forward priority -150; meta mark set meta mark | ${String(forwardMark)}; }; }`,
        ],
        timeoutMs: 30_000,
      });
      const reaches = async (): Promise<readonly string[]> => [
        await guest.node(connect, "172.16.0.1", "7"),
        await host.node(connect, "172.16.0.2", "22"),
        await guest.node(connect, "172.16.0.3", "7"),
      ];
      expect(await reaches()).toEqual([
        "ECONNREFUSED",
        "ECONNREFUSED",
        expect.not.stringMatching("ECONNREFUSED"),
      ]);
      for (const [from, to] of [
        [guest, "172.16.0.3"],
        [other, "172.16.0.2"],
      ] as const)
        await from.sh(`ip route add ${to}/32 via 172.16.0.1`);
      expect(await guest.node(connect, "172.16.0.3", "7")).toBe("timeout");
      // The fence alone: where ports are not isolated the host would forward.
      for (const lease of [1, 2])
        await host.sh(
          `ip link set dev ${vmOf(apart, lease).runtime.tapDevice ?? ""} type bridge_slave isolated off`,
        );
      expect(await guest.node(connect, "172.16.0.3", "7")).toBe("timeout");
      // Without the fence that way is open, so it is the fence that closes it.
      await host.sh("nft delete table inet banger-br-fc");
      expect(await guest.node(connect, "172.16.0.3", "7")).toBe("ECONNREFUSED");
    });

    it("lets it reach the host and the others, as itself and nobody else", async () => {
      const network = networkOf();
      const guest = await boot(network, 1);
      const other = await boot(network, 2);
      // Nothing listens: that it is refused shows that there and back it gets.
      expect(await guest.node(connect, "172.16.0.1", "7")).toBe("ECONNREFUSED");
      expect(await other.node(connect, "172.16.0.2", "7")).toBe("ECONNREFUSED");
      expect(await host.node(connect, "172.16.0.2", "22")).toBe("ECONNREFUSED");
      // An address of nobody, and then the one of the other.
      await guest.sh("ip address add 172.16.0.9/24 dev eth0");
      expect(
        await guest.node(connect, "172.16.0.1", "7", "172.16.0.9"),
      ).not.toBe("ECONNREFUSED");
      await guest.sh("ip link set eth0 address 02:00:00:00:00:09");
      expect(
        await guest.node(connect, "172.16.0.1", "7", "172.16.0.2"),
      ).not.toBe("ECONNREFUSED");
      expect(await other.node(connect, "172.16.0.1", "7")).toBe("ECONNREFUSED");
    });
  });
});
