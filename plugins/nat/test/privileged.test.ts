import { describe, expect, it } from "vitest";
import {
  FakeCommandRunner,
  fakePluginServices,
  fakeVmId,
} from "@banger/core/testing";
import type { AnyPrivilegedRequest } from "@banger/core";
import { plugin } from "../src/index.js";
import {
  ensureGuest,
  permitAddresses,
  readRefusals,
  removeGuest,
} from "../src/privileged.js";
import { NatTable } from "../src/root/nat-table.js";

const { signal } = new AbortController();
const id = fakeVmId(0xabc);
const guest = {
  id,
  tapDevice: "tap-fc-00000000",
  guestIp: "172.16.0.2",
  open: true,
};
const permit = {
  id,
  seconds: 60,
  addresses: ["192.0.2.7"],
  whole: true,
  services: [],
};
const allow = (always: unknown) => ({
  ...guest,
  allow: { always: [always], byName: false },
});

it("takes what is well-formed", () => {
  for (const tapDevice of ["tap-fc-00abcdef", "tap-pool-0", "tap-pool-123456"])
    expect(ensureGuest.input.safeParse({ ...guest, tapDevice }).success).toBe(
      true,
    );
  for (const guestIp of ["10.0.0.2", "192.168.3.4", "100.64.0.9", "172.31.0.2"])
    expect(ensureGuest.input.safeParse({ ...guest, guestIp }).success).toBe(
      true,
    );
  expect(
    ensureGuest.input.safeParse(
      allow({ to: "10.0.0.0/8", port: 443, protocol: "tcp" }),
    ).success,
  ).toBe(true);
  expect(permitAddresses.input.safeParse(permit).success).toBe(true);
});

it("makes no rules of more VMs than an install may have", async () => {
  const chains = Array.from({ length: 4096 }, (_, at) => ({
    chain: {
      ...{ family: "inet", table: "banger-nat" },
      name: `vm-0123abcd-${at.toString(16).padStart(12, "0")}`,
    },
  }));
  const commands = new FakeCommandRunner().install("nft", ({ args }) => ({
    stdout: JSON.stringify({
      nftables: args.includes("chains") ? chains : [],
    }),
  }));
  const table = new NatTable(commands, signal);
  const path = {
    ...{ bridge: "br-fc", subnet: "172.16.0.0/24", uplink: undefined },
  };
  const ensure = (of: number): Promise<void> =>
    table.ensure({ ...guest, id: fakeVmId(of), tag: "0123abcd" }, path, {
      translates: false,
      wasOff: false,
    });
  await expect(ensure(0xffff)).rejects.toMatchObject({ code: "ERR_NAT_FULL" });
  expect(commands.commands.filter(({ input }) => input)).toEqual([]);
  await ensure(7);
  expect(commands.commands.filter(({ input }) => input)).toHaveLength(1);
});

describe("hostile input never gets to a program", () => {
  const hostile: readonly (readonly [AnyPrivilegedRequest, unknown])[] = [
    ...[null, [], "x", 7, {}].flatMap((input) =>
      [ensureGuest, removeGuest, permitAddresses, readRefusals].map(
        (request) => [request, input] as const,
      ),
    ),
    ...[
      "",
      "../../etc",
      "ABCDEF000000",
      "0123456789ab\n",
      "*",
      id + "0",
    ].flatMap(
      (bad) =>
        [
          [ensureGuest, { ...guest, id: bad }],
          [removeGuest, { id: bad }],
          [readRefusals, { id: bad }],
          [permitAddresses, { ...permit, id: bad }],
        ] as const,
    ),
    ...[
      "eth0",
      "tap-fc-0000000",
      "tap-fc-00000000 ",
      "tap-fc-0000000+",
      "tap-pool-",
      "tap-pool-01",
      "tap-pool-1000000",
      "br-fc",
      "-j",
      "tap-fc-00000000\ndelete table inet x",
    ].map((tapDevice) => [ensureGuest, { ...guest, tapDevice }] as const),
    ...[
      "8.8.8.8",
      "172.32.0.1",
      "172.16.0.2/8",
      "0.0.0.0",
      "127.0.0.1",
      "172.16.0.2\n",
      "10.0.0.2; flush ruleset",
      "::1",
      "010.0.0.2",
    ].map((guestIp) => [ensureGuest, { ...guest, guestIp }] as const),
    [ensureGuest, { ...guest, bridge: "br0" }],
    [ensureGuest, { ...guest, open: "yes" }],
    ...[
      { to: "10.0.0.0/33" },
      { to: "10.0.0.1 } goto pass" },
      { to: "@pass" },
      { to: "apt.linux.test" },
      { to: "10.0.0.1", port: -1 },
      { to: "10.0.0.1", port: 1.5 },
      { to: "10.0.0.1", port: 65_536 },
      { to: "10.0.0.1", protocol: "icmp; drop" },
      { to: "10.0.0.1", comment: "x" },
    ].map((one) => [ensureGuest, allow(one)] as const),
    [
      ensureGuest,
      {
        ...guest,
        allow: {
          always: Array.from({ length: 257 }, () => ({ to: "10.0.0.1" })),
          byName: false,
        },
      },
    ],
    [permitAddresses, { ...permit, seconds: 0 }],
    [permitAddresses, { ...permit, seconds: 86_401 }],
    [permitAddresses, { ...permit, seconds: Number.NaN }],
    [permitAddresses, { ...permit, addresses: [] }],
    [permitAddresses, { ...permit, addresses: ["192.0.2.7 } x"] }],
    [permitAddresses, { ...permit, addresses: ["::1"] }],
    [
      permitAddresses,
      { ...permit, addresses: Array.from({ length: 257 }, () => "192.0.2.7") },
    ],
    [permitAddresses, { ...permit, services: [{ protocol: "x", port: 1 }] }],
    [
      permitAddresses,
      {
        ...permit,
        whole: false,
        addresses: Array.from({ length: 256 }, () => "192.0.2.7"),
        services: Array.from({ length: 65 }, (_, port) => ({
          port,
          protocol: "tcp",
        })),
      },
    ],
  ];
  it.each(hostile.map(([request, input]) => [request.name, input, request]))(
    "%s with %j",
    async (_name, input, request) => {
      const { commands, privileged } = fakePluginServices();
      await expect(
        privileged.request(request, input as never, signal),
      ).rejects.toThrow();
      expect(commands.commands).toEqual([]);
    },
  );
});

it("declares every request that it makes, and the one for the uninstall", () => {
  expect(plugin.privileged.map(({ name }) => name).sort()).toEqual([
    "nat.ensure",
    "nat.permit",
    "nat.refusals",
    "nat.remove",
    "nat.status",
    "nat.uninstall",
  ]);
});
