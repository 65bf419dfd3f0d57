import { FakeCommandRunner, fakeVm, fakeVmId } from "@banger/core/testing";
import { PrivilegeMissingError, type VmRecord } from "@banger/core";
import { describe, expect, it } from "vitest";
import { NoPrivileged } from "../../src/privileged/no-privileged.js";
import type { BridgeNetwork } from "../../src/network/bridge-network.js";
import {
  makeBridge,
  vmOf as vmOfLease,
  type BridgeOptions,
} from "./make-bridge-network.js";

const signal = new AbortController().signal;

const networkOf = (
  options: BridgeOptions & { commands?: FakeCommandRunner } = {},
): BridgeNetwork => {
  const { commands = new FakeCommandRunner() } = options;
  return makeBridge(commands, { ownerUid: 1000, ...options }).network;
};

const vmOf = (network: BridgeNetwork): VmRecord => vmOfLease(network);

describe("addresses", () => {
  it("begin behind the host's and end before the broadcast address", () => {
    const network = networkOf();
    expect(network.addresses(1)).toEqual({
      guestIp: "172.16.0.2",
      ssh: { host: "172.16.0.2", port: 22 },
    });
    expect(network.addresses(253).guestIp).toBe("172.16.0.254");
    expect(() => network.addresses(254)).toThrow(
      expect.objectContaining({ code: "ERR_NETWORK_FULL" }),
    );
  });

  it("cross the border of a byte, and one VM has room in a /30", () => {
    const wide = networkOf({ address: "10.0.0.1/16" });
    expect(wide.addresses(255).guestIp).toBe("10.0.1.0");
    const narrow = networkOf({ address: "10.0.0.1/30" });
    expect(narrow.addresses(1).guestIp).toBe("10.0.0.2");
    expect(() => narrow.addresses(2)).toThrow(
      expect.objectContaining({ code: "ERR_NETWORK_FULL" }),
    );
  });
});

it("tells the guest and the VMM what they are connected to", () => {
  const network = networkOf();
  const vm = vmOf(network);
  expect(network.guestNetwork(vm)).toEqual({
    address: "172.16.0.2/24",
    gateway: "172.16.0.1",
    nameservers: ["10.0.0.53"],
  });
  expect(network.nic(vm)).toEqual({
    mac: "02:ab:cd:ef:02:00",
    backend: { kind: "tap", device: "tap-fc-abcdef02" },
  });
  expect(network.publishAddress(vm)).toBe("127.78.0.2");
});

it("uses no device name of a record that is not ours", () => {
  const network = networkOf();
  const vm = fakeVm({
    id: fakeVmId(0xabcdef012345),
    runtime: { tapDevice: "eth0" },
  });
  expect(network.nic(vm).backend).toEqual({
    kind: "tap",
    device: "tap-fc-abcdef01",
  });
});

describe("without anybody who may", () => {
  const missing = { code: "ERR_PRIVILEGE_MISSING", kind: "unavailable" };

  it("refuses to prepare, and has nothing to remove", async () => {
    const commands = new FakeCommandRunner().install("ip", () => ({
      exitCode: 1,
      stderr: 'Device "tap-fc-abcdef02" does not exist.',
    }));
    const { network, privileged } = makeBridge(commands);
    privileged.missing = await new NoPrivileged().problem();
    await expect(network.prepare(vmOf(network), signal)).rejects.toMatchObject({
      ...missing,
      hint: expect.stringContaining('mode = "user"') as string,
    });
    await network.remove(vmOf(network));
    expect(await network.check()).toMatchObject({
      status: "fail",
      detail: expect.stringContaining("root") as string,
    });
  });

  it("says that a device stays which somebody has made who is gone", async () => {
    const commands = new FakeCommandRunner();
    const { network, privileged } = makeBridge(commands);
    const vm = vmOf(network);
    const device = { ifname: vm.runtime.tapDevice, ifalias: `banger-${vm.id}` };
    commands.install("ip", () => ({ stdout: JSON.stringify([device]) }));
    privileged.missing = new PrivilegeMissingError("the helper is gone");
    await expect(network.remove(vm)).rejects.toMatchObject(missing);
  });
});

describe("names", () => {
  const inJail = (vm: VmRecord): VmRecord => ({
    ...vm,
    runtime: { ...vm.runtime, jailDirectory: "/jail/otter" },
  });
  const idle = (...names: readonly string[]) => {
    const devices = names.map((ifname) => ({
      ifname,
      ifalias: "banger-pool-0123abcd",
      linkinfo: { info_kind: "tun", info_data: { type: "tap" } },
    }));
    return new FakeCommandRunner().install("ip", () => ({
      stdout: JSON.stringify(devices),
    }));
  };
  /** with one id more than eight digits alike */
  const twins = (network: BridgeNetwork): readonly [VmRecord, VmRecord] => {
    const [one, two] = [fakeVmId(0xabcdef01_0001), fakeVmId(0xabcdef01_0002)];
    const { runtime } = vmOf(network);
    return [fakeVm({ id: one, runtime }), fakeVm({ id: two, runtime })];
  };

  it("are the same until the network is removed, and of one VM", async () => {
    const { network, pool } = makeBridge(idle("tap-pool-3", "tap-pool-7"), {
      poolSize: 2,
    });
    await pool.start([]);
    const [one, two] = [vmOfLease(network, 1), vmOfLease(network, 2)];
    const { tapDevice } = network.names(one);
    expect(tapDevice).toBe("tap-pool-3");
    expect(network.names(one)).toEqual({ tapDevice });
    expect(network.names(two)).toEqual({ tapDevice: "tap-pool-7" });
    expect(network.names(vmOfLease(network, 3))).toEqual({
      tapDevice: "tap-fc-abcdef04",
    });
  });

  it("are taken from no pool for a VMM in a jail of root's install, which is another user", async () => {
    const names = async (ownerUid: number): Promise<string | undefined> => {
      const { network, pool } = makeBridge(idle("tap-pool-3"), {
        ...{ poolSize: 1, ownerUid },
      });
      await pool.start([]);
      return network.names(inJail(vmOf(network))).tapDevice;
    };
    expect(await names(0)).toBe("tap-fc-abcdef02");
    expect(await names(1000)).toBe("tap-pool-3");
  });

  it("of ids that begin alike are different, before and after a daemon's end", async () => {
    const { network } = makeBridge(new FakeCommandRunner());
    const [one, two] = twins(network);
    const first = network.names(one);
    expect(first).toEqual({ tapDevice: "tap-fc-abcdef01" });
    expect(network.names(two)).toEqual({ tapDevice: "tap-fc-bcdef010" });
    const next = makeBridge(new FakeCommandRunner());
    await next.pool.start([
      { ...one, runtime: { ...one.runtime, ...first } },
      vmOfLease(next.network, 3),
    ]);
    expect(next.network.names(two)).toEqual({ tapDevice: "tap-fc-bcdef010" });
    expect(next.network.names(one)).toEqual(first);
  });

  it("are none that a device of something else has", () => {
    const aliases = new Map([
      ["tap-fc-abcdef01", "banger-abcdef019999"],
      ["tap-fc-bcdef010", ""],
    ]);
    const { network } = makeBridge(new FakeCommandRunner(), {
      deviceAlias: (name) => aliases.get(name),
    });
    const [one] = twins(network);
    expect(network.names(one)).toEqual({ tapDevice: "tap-fc-cdef0100" });
    aliases.set("tap-fc-abcdef01", `banger-${one.id}`);
    const again = makeBridge(new FakeCommandRunner(), {
      deviceAlias: (name) => aliases.get(name),
    });
    expect(again.network.names(one)).toEqual({ tapDevice: "tap-fc-abcdef01" });
  });

  it("of two records that name one device are no longer that", async () => {
    const { network, pool } = makeBridge(idle("tap-pool-3"), { poolSize: 1 });
    const [one, two] = [1, 2].map((lease) =>
      vmOfLease(network, lease, "tap-pool-3"),
    );
    if (!one || !two) throw new Error("two VMs");
    await pool.start([one, two]);
    expect(network.names(one)).toEqual({ tapDevice: "tap-fc-abcdef02" });
    expect(network.names(two)).toEqual({ tapDevice: "tap-fc-abcdef03" });
  });
});

it("refuses a VM of another subnet before it makes anything", async () => {
  const commands = new FakeCommandRunner();
  const network = networkOf({ commands });
  const vm = vmOf(networkOf({ address: "10.0.0.1/24" }));
  await expect(network.prepare(vm, signal)).rejects.toMatchObject({
    code: "ERR_NETWORK_CONFLICT",
    message: expect.stringContaining("10.0.0.2") as string,
  });
  expect(commands.commands).toEqual([]);
});

it.each(["172.16.0.0", "172.16.0.1", "172.16.0.255", "172.16.1.2", "x"])(
  "refuses a VM that has the address of no guest: %s",
  async (guestIp) => {
    const commands = new FakeCommandRunner();
    const network = networkOf({ commands });
    const vm = vmOf(network);
    await expect(
      network.prepare({ ...vm, runtime: { ...vm.runtime, guestIp } }, signal),
    ).rejects.toMatchObject({
      code: "ERR_NETWORK_CONFLICT",
      message: expect.stringContaining(guestIp) as string,
    });
    expect(commands.commands).toEqual([]);
  },
);

it("does not take a failure of ip for a missing device, whose guard it would remove", async () => {
  const commands = new FakeCommandRunner().install("nft").install("ip", () => ({
    exitCode: 1,
    stderr: "Cannot open netlink socket: Too many open files",
  }));
  const network = networkOf({ commands });
  await expect(network.remove(vmOf(network))).rejects.toMatchObject({
    code: "ERR_COMMAND_FAILED",
    message: expect.stringContaining("netlink") as string,
  });
  expect(commands.commands.map(({ file }) => file)).not.toContain("nft");
});

it.each([
  ["keeps a device that its VMM has open", ["UP", "LOWER_UP"], false],
  ["makes a device anew that nobody has open", ["NO-CARRIER", "UP"], true],
])("of another owner, %s", async (_what, flags, isRemade) => {
  const commands = new FakeCommandRunner();
  const network = networkOf({ commands });
  const vm = vmOf(network);
  const { tapDevice: ifname = "" } = vm.runtime;
  const tap = {
    ifname,
    flags,
    master: "br-fc",
    ifalias: `banger-${vm.id}`,
    linkinfo: { info_kind: "tun", info_data: { type: "tap", user: 1001 } },
  };
  const bridge = {
    ifname: "br-fc",
    flags: ["UP"],
    ifalias: "banger-0123abcd",
    linkinfo: { info_kind: "bridge" },
    addr_info: [{ family: "inet", local: "172.16.0.1", prefixlen: 24 }],
  };
  commands
    .install("ip", ({ args }) => ({
      stdout: JSON.stringify(args.includes("link") ? [bridge, tap] : [bridge]),
    }))
    .install("nft", () => ({ stdout: '{"nftables":[]}' }));
  await network.prepare(vm, signal);
  const removed = commands.commands.some(({ args }) => args.includes("delete"));
  expect(removed).toBe(isRemade);
});

it("removes the guard also when the device cannot be removed, and says everything that failed", async () => {
  const commands = new FakeCommandRunner();
  const network = networkOf({ commands });
  const vm = vmOf(network);
  const { tapDevice: ifname = "" } = vm.runtime;
  const tap = {
    ifname,
    master: "br-fc",
    ifalias: `banger-${vm.id}`,
    linkinfo: { info_kind: "tun", info_data: { type: "tap" } },
  };
  const bridge = { ifname: "br-fc", ifalias: "banger-0123abcd" };
  commands
    .install("ip", ({ args }) =>
      args.includes("delete")
        ? { exitCode: 2, stderr: "Device or resource busy" }
        : { stdout: JSON.stringify([bridge, tap]) },
    )
    .install("nft", () => ({ exitCode: 1, stderr: "Could not process rule" }));
  await expect(network.remove(vm)).rejects.toMatchObject({
    code: "ERR_SEVERAL",
    details: [
      expect.stringContaining("busy") as string,
      expect.stringContaining("process rule") as string,
    ],
  });
  const inputs = commands.commands.map(({ input }) => input);
  expect(inputs.join("")).toContain(`delete table netdev banger-${ifname}`);
  expect(inputs.join("")).not.toContain("inet");
});

it("has nothing to remove where there is no ip", async () => {
  const network = networkOf();
  await network.remove(vmOf(network));
});

describe("doctor", () => {
  it("names the programs that are missing", async () => {
    const commands = new FakeCommandRunner().install("ip");
    expect(await networkOf({ commands }).check()).toMatchObject({
      status: "fail",
      detail: expect.stringContaining("missing: sysctl, nft") as string,
    });
  });
});
