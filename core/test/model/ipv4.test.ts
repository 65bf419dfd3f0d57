import { expect, it } from "vitest";
import {
  covers,
  isPrivateIpv4,
  isPrivateSubnet,
  overlap,
  parseCidr,
  parseIpv4,
  renderIpv4,
  renderSubnet,
} from "../../src/model/ipv4.js";

const subnet = (text: string) => {
  const parsed = parseCidr(text);
  if (!parsed) throw new Error(text);
  return parsed;
};

it.each(["0.0.0.0", "127.0.0.1", "172.16.0.254", "255.255.255.255"])(
  "reads and writes %s",
  (text) => {
    expect(renderIpv4(parseIpv4(text) ?? -1)).toBe(text);
  },
);

it.each([
  "",
  "1.2.3",
  "1.2.3.256",
  "01.2.3.4",
  "::1",
  "1.2.3.4/33",
  "1.2.3.4/",
  "1.2.3.4/08",
  "1.2.3.4/-1",
  "default",
])("takes %j for no subnet", (text) => {
  expect(parseCidr(text)).toBeUndefined();
});

it("finds the subnet of an address", () => {
  expect(renderSubnet(subnet("172.16.5.9/20"))).toBe("172.16.0.0/20");
  expect(renderSubnet(subnet("255.255.255.255/1"))).toBe("128.0.0.0/1");
  expect(renderSubnet(subnet("10.1.2.3"))).toBe("10.1.2.3/32");
  expect(renderSubnet(subnet("10.1.2.3/0"))).toBe("0.0.0.0/0");
});

it.each([
  ["10.0.0.0/8", "10.1.2.0/24", true],
  ["10.1.2.0/24", "10.0.0.0/8", true],
  ["172.16.0.0/24", "172.16.0.0/24", true],
  ["172.16.0.0/24", "172.16.1.0/24", false],
  ["172.16.0.255/32", "172.16.0.0/24", true],
  ["172.16.1.0/32", "172.16.0.0/24", false],
  ["192.0.0.0/2", "128.0.0.0/2", false],
])("%s and %s overlap: %s", (one, other, expected) => {
  expect(overlap(subnet(one), subnet(other))).toBe(expected);
  expect(covers(subnet("0.0.0.0/0"), subnet(one))).toBe(true);
});

it.each(["10.0.0.1", "172.31.255.254", "192.168.1.1", "100.127.0.1"])(
  "knows %s as private",
  (text) => {
    expect(isPrivateIpv4(text)).toBe(true);
  },
);

it.each(["11.0.0.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "10.0.0", ""])(
  "does not take %j for private",
  (text) => {
    expect(isPrivateIpv4(text)).toBe(false);
  },
);

it("takes no subnet for private that is so in part only", () => {
  expect(isPrivateSubnet(subnet("172.16.0.0/12"))).toBe(true);
  expect(isPrivateSubnet(subnet("172.16.0.0/11"))).toBe(false);
});
