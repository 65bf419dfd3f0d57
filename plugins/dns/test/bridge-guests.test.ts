import type { Command } from "@banger/core";
import {
  FakeCommandRunner,
  FakeNetwork,
  FakePrivileged,
  fakeVm,
  fakeVmId,
  memoryLogger,
} from "@banger/core/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { BridgeGuests } from "../src/bridge-guests.js";
import { DnsPortBusyError } from "../src/errors.js";
import { Guests } from "../src/guests.js";
import { Names } from "../src/names.js";
import { routeRequest, unrouteRequest } from "../src/privileged.js";

const { signal } = new AbortController();
const device = JSON.stringify([
  {
    ifalias: "banger-00c0ffee",
    linkinfo: { info_kind: "bridge" },
    addr_info: [{ family: "inet", local: "172.16.0.1" }],
  },
]);
const vm = (number: number) =>
  fakeVm({
    id: fakeVmId(number),
    runtime: { guestIp: `172.16.0.${String(number + 1)}` },
  });

let commands: FakeCommandRunner;
let privileged: FakePrivileged;
let network: FakeNetwork;
let guests: Guests;
let names: Names;
let busy: boolean;
let bridges: BridgeGuests;
beforeEach(() => {
  commands = new FakeCommandRunner()
    .install("ip", () => ({ stdout: device }))
    .install("nft")
    .install("resolvectl");
  privileged = new FakePrivileged(commands);
  network = new FakeNetwork();
  network.bridgeName = "br-fc";
  network.guestNetwork = ({ runtime }) => ({
    address: `${runtime.guestIp}/24`,
    gateway: "172.16.0.1",
    nameservers: [],
  });
  guests = new Guests();
  names = new Names(5);
  busy = false;
  const listen = { host: "127.0.0.1", port: 42_069 };
  bridges = new BridgeGuests({
    guests,
    network,
    privileged,
    logger: memoryLogger(),
    server: {
      names,
      listen,
      listenAt: async (host) => {
        if (busy) throw new DnsPortBusyError({ ...listen, host });
        return { ...listen, host };
      },
    },
  });
});
const ran = (program: string): readonly Command[] =>
  commands.commands.filter(({ file }) => file === program);
const lines = (program: string): readonly string[] =>
  ran(program).map(({ args }) => args.join(" "));

describe("guests on a bridge", () => {
  it("are admitted, and their questions led here, until the last one goes", async () => {
    await bridges.serve(vm(1), signal);
    await bridges.serve(vm(2), signal);
    expect(guests.find("172.16.0.2")).toBeDefined();
    expect(names.zone.subnets).toEqual([{ first: 0xac100000, prefix: 24 }]);
    expect(ran("nft")[0]?.input).toContain("dnat to 172.16.0.1:42069");
    expect(lines("resolvectl").slice(0, 4)).toEqual([
      "dns br-fc 172.16.0.1:42069",
      "domain br-fc ~vm",
      "default-route br-fc no",
      "dnssec br-fc no",
    ]);
    await bridges.dismiss(vm(1), signal);
    expect(guests.find("172.16.0.2")).toBeUndefined();
    expect(lines("resolvectl")).not.toContain("revert br-fc");
    await bridges.dismiss(vm(2), signal);
    expect(lines("resolvectl").at(-1)).toBe("revert br-fc");
    expect(ran("nft").at(-1)?.input).toBe(
      "table ip banger-dns-br-fc\ndelete table ip banger-dns-br-fc\n",
    );
    expect(names.zone.subnets).toEqual([]);
  });

  it("are dismissed from the record alone, under a new daemon", async () => {
    await bridges.dismiss(vm(1), signal);
    expect(ran("nft")).toHaveLength(1);
  });

  it("are nobody's without root or a bridge", async () => {
    privileged.kind = "none";
    await bridges.serve(vm(1), signal);
    expect(bridges.nameserverOf(vm(1))).toBeUndefined();
    await bridges.dismiss(vm(1), signal);
    privileged.kind = "helper";
    expect(bridges.nameserverOf(vm(1))).toBe("172.16.0.1");
    network.bridgeName = undefined;
    await bridges.serve(vm(1), signal);
    expect(bridges.nameserverOf(vm(1))).toBeUndefined();
    expect(commands.commands).toEqual([]);
    expect(guests.find("172.16.0.2")).toBeUndefined();
  });

  it("are not led to another program that has the port", async () => {
    busy = true;
    await expect(bridges.serve(vm(1), signal)).rejects.toMatchObject({
      code: "ERR_DNS_PORT_BUSY",
    });
    expect(ran("nft")).toEqual([]);
    expect(await bridges.states(signal)).toEqual([
      { bridge: "br-fc", listening: false, redirected: false },
    ]);
  });

  it("lose their way when the daemon ends, whatever goes wrong", async () => {
    await bridges.serve(vm(1), signal);
    await bridges.close();
    expect(lines("resolvectl").at(-1)).toBe("revert br-fc");
    await bridges.serve(vm(1), signal);
    commands.install("nft", () => ({ exitCode: 1 }));
    await bridges.close();
  });

  it("are answered where systemd-resolved does not run", async () => {
    commands.install("resolvectl", () => ({ exitCode: 1 }));
    await bridges.serve(vm(1), signal);
    expect(lines("resolvectl")).toHaveLength(1);
    expect(await bridges.states(signal)).toMatchObject([{ listening: true }]);
  });
});

describe("the requests to root", () => {
  it.each([
    { bridge: "docker0", gateway: "172.16.0.1", port: 42_069 },
    { bridge: "br-fc-../x", gateway: "172.16.0.1", port: 42_069 },
    { bridge: "br-fc\n", gateway: "172.16.0.1", port: 42_069 },
    { bridge: "br-fc", gateway: "203.0.113.1", port: 42_069 },
    { bridge: "br-fc", gateway: "172.16.0.1; drop", port: 42_069 },
    { bridge: "br-fc", gateway: "127.0.0.1", port: 42_069 },
    { bridge: "br-fc", gateway: "172.16.0.1", port: 0 },
    { bridge: "br-fc", gateway: "172.16.0.1", port: 65_536 },
    { bridge: "br-fc", gateway: "172.16.0.1", port: 1.5 },
    { bridge: "br-fc", gateway: "172.16.0.1", port: 53, more: true },
  ])("refuse %j", (input) => {
    expect(routeRequest.input.safeParse(input).success).toBe(false);
  });

  it("refuse what is no name of a bridge", () => {
    const { input } = unrouteRequest;
    for (const bridge of ["eth0", "", "br-fc-UP", "br-fc-0123456789", "lo"])
      expect(input.safeParse({ bridge }).success).toBe(false);
    expect(input.safeParse({ bridge: "br-fc-test1" }).success).toBe(true);
  });

  it("need neither programs nor a bridge to take back nothing", async () => {
    commands.uninstallAll();
    await privileged.request(unrouteRequest, { bridge: "br-fc" }, signal);
    commands
      .install("ip", () => ({
        exitCode: 1,
        stderr: 'Device "br-fc" does not exist.\n',
      }))
      .install("nft");
    await privileged.request(unrouteRequest, { bridge: "br-fc" }, signal);
    expect(ran("nft")).toHaveLength(1);
  });
});
