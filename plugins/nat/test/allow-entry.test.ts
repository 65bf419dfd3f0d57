import { describe, expect, it } from "vitest";
import { parseAllowEntry } from "../src/allow-entry.js";
import { AllowList } from "../src/allow-list.js";
import { natConfig } from "../src/config.js";

describe("an entry of allow", () => {
  it.each([
    ["192.0.2.7", { kind: "address", to: "192.0.2.7" }],
    ["0.0.0.0/0:443", { kind: "address", to: "0.0.0.0/0", port: 443 }],
    ["10.0.0.0/8:443", { kind: "address", to: "10.0.0.0/8", port: 443 }],
    ["192.0.2.7/32", { kind: "address", to: "192.0.2.7" }],
    ["198.51.100.128/25", { kind: "address", to: "198.51.100.128/25" }],
    [
      "10.1.2.3:53/udp",
      { kind: "address", to: "10.1.2.3", port: 53, protocol: "udp" },
    ],
    ["Apt.Linux.TEST.", { kind: "name", name: "apt.linux.test", below: false }],
    [
      "apt.linux.test:443",
      { kind: "name", name: "apt.linux.test", below: false, port: 443 },
    ],
    [
      "*.example.org:443/tcp",
      {
        ...{ kind: "name", name: "example.org", below: true },
        ...{ port: 443, protocol: "tcp" },
      },
    ],
    [
      "_srv.a-b.example",
      { kind: "name", name: "_srv.a-b.example", below: false },
    ],
    ["*:443", { kind: "name", name: "", below: true, port: 443 }],
    ["registry", { kind: "name", name: "registry", below: false }],
  ])("reads %s", (text, entry) => {
    expect(parseAllowEntry(text)).toEqual(entry);
  });

  it.each([
    ["", /blank/],
    [" 10.0.0.1", /blank/],
    [":443", /no destination/],
    ["10.0.0.1:", /no port/],
    ["10.0.0.1:0", /no port/],
    ["10.0.0.1:65536", /no port/],
    ["10.0.0.1:http", /no port/],
    ["10.0.0.1:80-90", /no port/],
    ["10.0.0.1:80/", /no protocol/],
    ["10.0.0.1:80/sctp", /no protocol/],
    ["10.0.0.1/33", /no prefix length/],
    ["10.0.0.1/08", /no prefix length/],
    ["10.1.2.3/8", /midst of its subnet/],
    ["10.0.0.256", /no IPv4 address/],
    ["10.0.0", /no IPv4 address/],
    ["1.2.3.4.5/8", /no IPv4 address/],
    ["10.0.0.0/8/8", /no IPv4 address/],
    ["2001:db8::1", /IPv4 only/],
    ["[::1]:443", /IPv4 only/],
    ["https://apt.linux.test", /URL/],
    ["apt..linux.test", /neither/],
    ["-apt.linux.test", /neither/],
    ["*apt.linux.test", /neither/],
    ["a.*.org", /neither/],
    ["**.example.org", /neither/],
    ["apt.linux.test/8", /neither/],
    ['x"; flush ruleset', /neither/],
    ["x\ny", /neither/],
    ["foo.1", /no whole IPv4/],
    [`${"a".repeat(64)}.org`, /neither/],
    [`${"a.".repeat(127)}org`, /neither/],
  ])("refuses %j", (text, why) => {
    expect(() => parseAllowEntry(text)).toThrow(why);
    const parsed = natConfig.safeParse({ allow: ["192.0.2.7", text] });
    expect(parsed.error?.issues[0]).toMatchObject({ path: ["allow", 1] });
  });

  it("says what a subnet is called", () => {
    const { error } = natConfig.safeParse({ allow: ["10.1.2.3/12"] });
    expect(error?.issues[0]?.message).toContain("Write 10.0.0.0/12");
  });
});

it("the section has one key, which may be left out, and an end", () => {
  expect(natConfig.parse({})).toEqual({});
  expect(natConfig.parse({ allow: [] })).toEqual({ allow: [] });
  expect(natConfig.safeParse({ deny: [] }).success).toBe(false);
  const many = Array.from({ length: 257 }, () => "192.0.2.7");
  expect(natConfig.safeParse({ allow: many }).success).toBe(false);
});

describe("an allow list", () => {
  const list = new AllowList([
    "10.0.0.0/8:443",
    "apt.linux.test:443",
    "apt.linux.test:80/tcp",
    "*.example.org",
    "api.example.org:53/udp",
  ]);
  it("has what needs no name apart", () => {
    expect(list.always).toEqual([{ to: "10.0.0.0/8", port: 443 }]);
    expect(list.byName).toBe(true);
    expect(new AllowList(["192.0.2.7"]).byName).toBe(false);
  });
  it("opens for a name what its entries say together", () => {
    expect(list.openingOf("apt.linux.test")).toEqual({
      whole: false,
      services: [
        { protocol: "tcp", port: 443 },
        { protocol: "udp", port: 443 },
        { protocol: "tcp", port: 80 },
      ],
    });
    expect(list.openingOf("api.example.org")).toEqual({
      whole: true,
      services: [],
    });
    expect(list.openingOf("a.b.example.org")).toMatchObject({ whole: true });
    for (const name of ["example.org", "notexample.org", "linux.test", "org"])
      expect(list.openingOf(name)).toBeUndefined();
    expect(new AllowList(["*:443"]).openingOf("any.example")).toMatchObject({
      whole: false,
    });
  });
});
