import { describe, expect, it } from "vitest";
import { fakeVm, fakeVmId } from "@banger/core/testing";
import { lowestMetric, masterOf } from "../src/ip-output.js";
import { linesOf, openBridges, rulesOf } from "../src/rules.js";

const vmOf = (nat: boolean) =>
  fakeVm({
    id: fakeVmId(0xabc),
    spec: { nat },
    runtime: { networkMode: "bridge", guestIp: "172.16.0.2" },
  });
const lines = (nat: boolean, uplink: string | undefined = "eth0") =>
  rulesOf(vmOf(nat), { bridge: "br-fc", uplink }).map(({ line }) => line);

const comment = "-m comment --comment banger-000000000abc";
it("has no rules without NAT, nor with NAT that leads nowhere", () => {
  expect(lines(false)).toEqual([]);
  const path = { bridge: "br-fc", uplink: undefined };
  expect(rulesOf(vmOf(true), path)).toEqual([]);
});

it("opens the bridge for one address by one way, and its answers back, the mark last", () => {
  const there = "-s 172.16.0.2/32 -i br-fc -o eth0";
  const back =
    "-d 172.16.0.2/32 -i eth0 -o br-fc -m conntrack --ctstate RELATED,ESTABLISHED";
  expect(lines(true)).toEqual([
    `-A BANGER-POSTROUTING -s 172.16.0.2/32 -o eth0 ${comment} -j MASQUERADE`,
    `-A BANGER-FORWARD ${there} ${comment} -j ACCEPT`,
    `-A BANGER-FORWARD ${back} ${comment} -j ACCEPT`,
    `-A BANGER-FORWARD ${there} ${comment} -j MARK --set-xmark 0x1000/0x1000`,
    `-A BANGER-FORWARD ${back} ${comment} -j MARK --set-xmark 0x1000/0x1000`,
  ]);
});

it("finds a VM's own rules among others", () => {
  const others = lines(true).map((line) => line.replace("abc", "abd"));
  const strange = "-A BANGER-FORWARD -s 10.0.0.0/8 -j ACCEPT";
  const all = [...others, strange, ...lines(true)];
  expect(linesOf(vmOf(true), all)).toEqual(lines(true));
  expect(openBridges(lines(true))).toEqual(["br-fc"]);
  expect(openBridges([strange])).toEqual([]);
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
