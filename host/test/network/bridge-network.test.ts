import { tapDeviceName } from "../../src/network/tap-device.js";
import { FakeCommandRunner, fakeVm, fakeVmId } from "@banger/core/testing";
import type { VmRecord } from "@banger/core";
import { describe, expect, it } from "vitest";
import { BridgeNetwork } from "../../src/network/bridge-network.js";
import { parseBridgeSettings } from "../../src/network/bridge-settings.js";

const signal = new AbortController().signal;

const networkOf = (
  options: {
    commands?: FakeCommandRunner;
    isRoot?: boolean;
    address?: string;
  } = {},
): BridgeNetwork => {
  const { commands = new FakeCommandRunner(), isRoot = true } = options;
  const settings = parseBridgeSettings(
    "br-fc",
    options.address ?? "172.16.0.1/24",
  );
  const nameservers = (): readonly string[] => ["10.0.0.53"];
  return new BridgeNetwork({
    commands,
    isRoot,
    settings,
    install: "0123abcd",
    tapOwner: () => 1000,
    nameservers,
  });
};

const vmOf = (network: BridgeNetwork, lease = 1): VmRecord => {
  const id = fakeVmId(0xabcdef012345 + lease - 1);
  return fakeVm({
    id,
    name: `otter-${String(lease)}`,
    runtime: {
      networkMode: "bridge",
      ...network.addresses(lease),
      tapDevice: tapDeviceName(id),
    },
  });
};

describe("addresses", () => {
  it("begin behind the host's and end before the broadcast address", () => {
    const network = networkOf();
    const id = fakeVmId(0xabcdef012345);
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
    const id = fakeVmId();
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
    mac: "02:ab:cd:ef:01:23",
    backend: { kind: "tap", device: "tap-fc-abcdef01" },
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

describe("without root", () => {
  it("refuses to prepare, by name, and has nothing to remove", async () => {
    const commands = new FakeCommandRunner();
    const network = networkOf({ commands, isRoot: false });
    await expect(network.prepare(vmOf(network), signal)).rejects.toMatchObject({
      code: "ERR_NETWORK_PRIVILEGE",
      kind: "unavailable",
      hint: expect.stringContaining('mode = "user"') as string,
    });
    await network.remove(vmOf(network));
    expect(commands.commands).toEqual([]);
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

it("does not take a failure of ip for a missing device", async () => {
  const commands = new FakeCommandRunner().install("ip", () => ({
    exitCode: 1,
    stderr: "Cannot open netlink socket: Too many open files",
  }));
  const network = networkOf({ commands });
  await expect(network.remove(vmOf(network))).rejects.toMatchObject({
    code: "ERR_SEVERAL",
    details: [
      expect.stringContaining("netlink") as string,
      expect.stringContaining("netlink") as string,
    ],
  });
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
      stdout: JSON.stringify([args.includes(ifname) ? tap : bridge]),
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
  commands
    .install("ip", ({ args }) =>
      args.includes("delete")
        ? { exitCode: 2, stderr: "Device or resource busy" }
        : { stdout: JSON.stringify([tap]) },
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
