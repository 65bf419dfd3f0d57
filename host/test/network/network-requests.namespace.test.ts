import type { AnyPrivilegedRequest } from "@banger/core";
import {
  FakeCommandRunner,
  fakeInstall,
  FakePrivileged,
} from "@banger/core/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { removeBridges } from "../../src/network/bridge-traces.js";
import {
  prepareNetwork,
  readNetworkRules,
  removeNetwork,
} from "../../src/network/network-requests.js";
import {
  drainTapPool,
  fillTapPool,
} from "../../src/network/tap-pool-requests.js";
import { InProcessPrivileged } from "../../src/privileged/in-process-privileged.js";
import { memoryLogger } from "@banger/core/testing";
import { NetworkNamespace, namespacesWork } from "./network-namespace.js";

const signal = new AbortController().signal;
const works = await namespacesWork("nft", "sysctl");

const prepare = {
  bridge: "br-fc-mine",
  address: "172.20.0.1/24",
  isolate: false,
  vm: { id: "abcdef020000", guestIp: "172.20.0.2" },
  tapDevice: "tap-fc-abcdef02",
  jailed: false,
};
const remove = {
  bridge: "br-fc-mine",
  isolate: false,
  vmId: "abcdef020000",
  tapDevice: "tap-fc-abcdef02",
  jailed: false,
  recycle: false,
};

/** names that no bridge of ours has */
const bridges = [
  ..."eth0|br-fc |br-fc;reboot|br-fc-UPPER|br-fc-toolongname|br-fc-\n|../br-fc|br0|docker0|br-fc-a b|-br-fc".split(
    "|",
  ),
  "",
  "br-fc\0",
  7,
  null,
  ["br-fc"],
];
/** names that no TAP device of ours has */
const devices = [
  ..."eth0|lo|tap-fc-ABCDEF02|tap-fc-abcdef0|tap-fc-abcdef021|tap-fc-abcdef02\n|tap-pool-|tap-pool--1|tap-pool-01|tap-pool-1000000|tap-pool-1 up|tap-pool-1\nlink delete dev lo|tap-pool-1;|../../lo|banger-abcdef020000".split(
    "|",
  ),
  "",
  1,
  null,
];

const hostile: readonly (readonly [AnyPrivilegedRequest, unknown])[] = [
  ...bridges.flatMap((bridge): [AnyPrivilegedRequest, unknown][] => [
    [prepareNetwork, { ...prepare, bridge }],
    [removeNetwork, { ...remove, bridge }],
    [readNetworkRules, { bridge }],
  ]),
  ...devices.flatMap((device): [AnyPrivilegedRequest, unknown][] => [
    [prepareNetwork, { ...prepare, tapDevice: device }],
    [removeNetwork, { ...remove, tapDevice: device }],
    [fillTapPool, { devices: [device] }],
    [drainTapPool, { devices: ["tap-pool-1", device] }],
  ]),
  ...[
    "",
    "ABCDEF020000",
    "abcdef02000",
    "abcdef0200000",
    "abcdef02000g",
    "abcdef020000\n",
    "pool-0123abc",
    0,
    null,
  ].flatMap((id): [AnyPrivilegedRequest, unknown][] => [
    [prepareNetwork, { ...prepare, vm: { ...prepare.vm, id } }],
    [removeNetwork, { ...remove, vmId: id }],
  ]),
  ...[
    "172.20.0.0",
    "172.20.0.1",
    "172.20.0.255",
    "172.20.1.2",
    "10.0.0.2",
    "::1",
    "172.20.0.2/0",
    "172.20.0.2 accept",
    "172.20.0.2\n}",
    "0xac.0x14.0.2",
    "",
    null,
  ].map((guestIp): [AnyPrivilegedRequest, unknown] => [
    prepareNetwork,
    { ...prepare, vm: { ...prepare.vm, guestIp } },
  ]),
  ...[
    "0.0.0.0/0",
    "8.8.8.1/24",
    "172.20.0.1/7",
    "172.20.0.1/31",
    "172.20.0.2/24",
    "127.0.0.1/8",
    "172.20.0.1",
    "172.20.0.1/024",
    "172.20.0.1/24 dev lo",
    "169.254.0.1/16",
    "fd00::1/64",
    "",
    null,
  ].map((address): [AnyPrivilegedRequest, unknown] => [
    prepareNetwork,
    { ...prepare, address },
  ]),
  [prepareNetwork, { ...prepare, owner: 0 }],
  [prepareNetwork, { ...prepare, tag: "fedc9876" }],
  [prepareNetwork, { ...prepare, isolate: "off" }],
  [prepareNetwork, { ...prepare, jailed: 1 }],
  [prepareNetwork, { ...prepare, vm: { ...prepare.vm, name: "x" } }],
  [prepareNetwork, { ...prepare, __proto__: { jailed: false }, jailed: null }],
  [prepareNetwork, null],
  [prepareNetwork, []],
  [removeNetwork, { ...remove, recycle: "yes" }],
  [removeNetwork, {}],
  [readNetworkRules, { bridge: "br-fc", table: "inet filter" }],
  [fillTapPool, { devices: [] }],
  [
    fillTapPool,
    { devices: Array.from({ length: 9 }, (_, at) => `tap-pool-${String(at)}`) },
  ],
  [fillTapPool, { devices: ["tap-pool-1"], owner: 0 }],
  [fillTapPool, { devices: "tap-pool-1" }],
  [drainTapPool, { devices: [] }],
  [
    drainTapPool,
    {
      devices: Array.from({ length: 65 }, (_, at) => `tap-pool-${String(at)}`),
    },
  ],
  [removeBridges, { bridge: "br-fc" }],
  [removeBridges, null],
];

it("refuses hostile input before a command runs", async () => {
  const commands = {
    find: () => Promise.reject(new Error("looked for a program")),
    run: () => Promise.reject(new Error("ran a command")),
  };
  const install = fakeInstall();
  const logger = memoryLogger();
  const privileged = new InProcessPrivileged({ install, commands, logger });
  expect(hostile.length).toBeGreaterThan(100);
  for (const [request, input] of hostile)
    await expect(
      privileged.request(request, input, signal),
      `${request.name} ${JSON.stringify(input)}`,
    ).rejects.toMatchObject({
      code: expect.stringMatching(
        /^ERR_(PRIVILEGED_INPUT|INVALID_VALUE|NETWORK_CONFLICT)$/,
      ) as string,
    });
});

/** ms; each command enters a namespace */
const timeout = 60_000;

it("makes no more bridges and TAP devices than an install may have", async () => {
  const bridges = Array.from({ length: 16 }, (_, at) => ({
    ifname: `br-fc-${String(at)}`,
    ifalias: "banger-0123abcd",
    linkinfo: { info_kind: "bridge" },
  }));
  const taps = Array.from({ length: 4096 }, (_, at) => ({
    ifname: `tap-pool-${String(at)}`,
  }));
  for (const [links, says] of [
    [bridges, "16 bridges"],
    [taps, "4096 TAP devices"],
  ] as const) {
    const commands = new FakeCommandRunner().install("ip", () => ({
      stdout: JSON.stringify(links),
    }));
    const privileged = new FakePrivileged(
      commands,
      fakeInstall({ tag: "0123abcd" }),
    );
    const input = prepareNetwork.input.parse(prepare);
    await expect(
      privileged.request(prepareNetwork, input, signal),
    ).rejects.toThrow(says);
    expect(commands.commands).toHaveLength(1);
  }
});

describe.runIf(works)("with other things on the host", { timeout }, () => {
  let host: NetworkNamespace;
  let before: readonly string[];
  const state = async (): Promise<readonly string[]> => [
    await host.sh("ip address show"),
    await host.sh("ip tuntap show"),
    await host.sh("nft list ruleset"),
    await host.sh("ip route show table all"),
  ];
  const mine = (): FakePrivileged =>
    new FakePrivileged(
      host,
      fakeInstall({ tag: "0123abcd", owner: { uid: 64123, gid: 64123 } }),
    );
  const theirs = (): FakePrivileged =>
    new FakePrivileged(
      host,
      fakeInstall({ tag: "fedc9876", owner: { uid: 64124, gid: 64124 } }),
    );
  beforeAll(async () => {
    host = await NetworkNamespace.make();
    const other = theirs();
    // A VM of another install, whose id this one knows, and its pool.
    await other.request(
      prepareNetwork,
      prepareNetwork.input.parse({ ...prepare, bridge: "br-fc-them" }),
      signal,
    );
    await other.request(fillTapPool, { devices: ["tap-pool-7"] }, signal);
    for (const line of [
      // Made and marked, and not joined yet.
      "ip tuntap add dev tap-fc-abcdef05 mode tap user 64124",
      "ip link set dev tap-fc-abcdef05 alias banger-abcdef050000",
      "ip tuntap add dev tap-pool-8 mode tap user 64124",
      "ip tuntap add dev tap-pool-9 mode tun user 64123",
      "ip link add tap-pool-10 type bridge",
      "ip link add br-fc-plain type bridge",
      "ip link add br-fc-own type bridge",
      "ip link set br-fc-own alias banger-fedc9876",
    ])
      await host.sh(line);
    before = await state();
  });
  afterAll(() => host.remove());

  const refused: readonly (readonly [string, object])[] = [
    ["the bridge of another install", { bridge: "br-fc-them" }],
    ["a bridge that nobody has marked", { bridge: "br-fc-plain" }],
    ["a subnet that another bridge has", { bridge: "br-fc-mine" }],
  ];
  it.each(refused)("prepares nothing on %s", async (_what, change) => {
    const input = prepareNetwork.input.parse({ ...prepare, ...change });
    await expect(
      mine().request(prepareNetwork, input, signal),
    ).rejects.toMatchObject({ code: "ERR_NETWORK_CONFLICT" });
    expect(await state()).toEqual(before);
  });

  it.each([
    ["another install's VM", "abcdef020000", "tap-fc-abcdef02"],
    ["one of it that starts", "abcdef050000", "tap-fc-abcdef05"],
    ["another VM's id", "abcdef060000", "tap-fc-abcdef02"],
    ["another install's pool", "abcdef060000", "tap-pool-7"],
    ["a device of another user", "abcdef060000", "tap-pool-8"],
    ["a TUN device", "abcdef060000", "tap-pool-9"],
    ["a bridge of our name", "abcdef060000", "tap-pool-10"],
  ])("neither uses nor removes %s", async (_what, id, tapDevice) => {
    for (const recycle of [false, true])
      for (const bridge of ["br-fc-them", "br-fc-own", "br-fc-none"])
        await mine().request(
          removeNetwork,
          removeNetwork.input.parse({
            ...{ ...remove, vmId: id, tapDevice },
            ...{ recycle, bridge },
          }),
          signal,
        );
    if (tapDevice.startsWith("tap-pool"))
      await mine().request(drainTapPool, { devices: [tapDevice] }, signal);
    expect(await state()).toEqual(before);
    const input = prepareNetwork.input.parse({
      ...{ ...prepare, address: "10.77.0.1/24", tapDevice },
      vm: { id, guestIp: "10.77.0.2" },
    });
    const device = await host.sh(`ip link show ${tapDevice}`);
    await expect(
      mine().request(prepareNetwork, input, signal),
    ).rejects.toMatchObject({ code: "ERR_NETWORK_CONFLICT" });
    expect(await host.sh(`ip link show ${tapDevice}`)).toBe(device);
    expect(await mine().request(removeBridges, {}, signal)).toEqual({
      removed: ["br-fc-mine"],
      kept: [],
    });
    await expect(
      host.sh("nft list table inet banger-br-fc-mine"),
    ).rejects.toThrow();
    expect(await state()).toEqual(before);
  });

  it("fills no more than an install may have, and only with new names", async () => {
    const made: string[] = [];
    for (let at = 0; at < 80; at += 8) {
      const devices = Array.from(
        { length: 8 },
        (_, index) => `tap-pool-${String(at + index)}`,
      );
      const answer = await mine().request(fillTapPool, { devices }, signal);
      made.push(...answer.devices);
    }
    expect(made).toHaveLength(64);
    for (const name of ["7", "8", "9", "10"])
      expect(made).not.toContain(`tap-pool-${name}`);
    await mine().request(drainTapPool, { devices: made }, signal);
    expect(await state()).toEqual(before);
  });
});
