import { describe, expect, it } from "vitest";
import { fakeVm, fakeVmId } from "@banger/core/testing";
import { lowestMetric, masterOf } from "../src/ip-output.js";
import { closedBridges, isOpen, linesOf, rulesOf } from "../src/rules.js";

const vmOf = (nat: boolean) =>
  fakeVm({
    id: fakeVmId(0xabc),
    spec: { nat },
    runtime: { networkMode: "bridge", guestIp: "172.16.0.2" },
  });
const lines = (nat: boolean, uplink: string | undefined = "eth0") =>
  rulesOf(vmOf(nat), { bridge: "br-fc", uplink }).map(({ line }) => line);

const comment = "-m comment --comment banger-000000000abc";
const closed = [
  `-A BANGER-FORWARD -i br-fc ! -o br-fc ${comment} -j DROP`,
  `-A BANGER-FORWARD ! -i br-fc -o br-fc ${comment} -j DROP`,
];

it("closes the bridge both ways without NAT, and with NAT that leads nowhere", () => {
  expect(lines(false)).toEqual(closed);
  const nowhere = rulesOf(vmOf(true), { bridge: "br-fc", uplink: undefined });
  expect(nowhere.map(({ line }) => line)).toEqual(closed);
});

it("opens it for one address by one way, and its answers back", () => {
  const open = [
    `-A BANGER-POSTROUTING -s 172.16.0.2/32 -o eth0 ${comment} -j MASQUERADE`,
    `-A BANGER-FORWARD -d 172.16.0.2/32 -i eth0 -o br-fc -m conntrack --ctstate RELATED,ESTABLISHED ${comment} -j ACCEPT`,
    `-A BANGER-FORWARD -s 172.16.0.2/32 -i br-fc -o eth0 ${comment} -j ACCEPT`,
  ];
  expect(lines(true)).toEqual([...closed, ...open]);
  const places = rulesOf(vmOf(true), { bridge: "br-fc", uplink: "eth0" });
  expect(places.map(({ place }) => place)).toEqual([
    "last",
    "last",
    "last",
    "first",
    "first",
  ]);
});

it("finds a VM's own rules among others", () => {
  const others = closed.map((line) => line.replace("abc", "abd"));
  const strange = "-A BANGER-FORWARD -s 10.0.0.0/8 -j ACCEPT";
  const all = [...others, strange, ...lines(true)];
  expect(linesOf(vmOf(true), all)).toEqual(lines(true));
  expect(closedBridges(lines(true))).toEqual(["br-fc"]);
  expect(closedBridges([strange])).toEqual([]);
  expect(isOpen("br-fc", lines(true))).toBe(true);
  expect(isOpen("br-fc", lines(false))).toBe(false);
  expect(isOpen("br-fc-a", lines(true))).toBe(false);
});

describe("the output of ip", () => {
  it("has the way out with the lowest metric", () => {
    const routes = JSON.stringify([
      { dst: "default", dev: "wlan0", metric: 600 },
      { dst: "default", dev: "eth0", metric: 100 },
      { type: "blackhole", dst: "default", metric: 1 },
    ]);
    expect(lowestMetric(routes)).toBe("eth0");
    expect(lowestMetric('[{"dev":"eth0","metric":1},{"dev":"tun0"}]')).toBe(
      "tun0",
    );
  });
  it("has the bridge of a port", () => {
    expect(masterOf('[{"ifname":"tap-fc-1","master":"br-fc"}]')).toBe("br-fc");
    expect(masterOf('[{"ifname":"tap-fc-1"}]')).toBeUndefined();
  });
  it.each(["", "[]", "null", "[null]", "{", '[{"dev":7}]'])(
    "has nothing when it is %j",
    (text) => {
      expect(lowestMetric(text)).toBeUndefined();
      expect(masterOf(text)).toBeUndefined();
    },
  );
});
