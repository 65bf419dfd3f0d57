import { describe, expect, it } from "vitest";
import { PrivilegeMissingError } from "@banger/core";
import { fakePluginServices, fakeVm } from "@banger/core/testing";
import { AllowList } from "../src/allow-list.js";
import { GuestPolicy } from "../src/guest-policy.js";
import { Permits } from "../src/permits.js";
import { RefusedNames } from "../src/refused-names.js";

const vmOf = (nat: boolean, networkMode = "bridge") =>
  fakeVm({ spec: { nat }, runtime: { networkMode, guestIp: "172.16.0.2" } });

function bench(allow?: readonly string[]) {
  const services = fakePluginServices();
  const permits: string[] = [];
  services.commands.install("nft", ({ input }) => {
    permits.push(String(input));
    return {};
  });
  const policy = new GuestPolicy({
    ...services,
    allow: allow === undefined ? undefined : new AllowList(allow),
  });
  return { ...services, policy, permits };
}
const answer = (name: string, ttlSeconds: number, ...addresses: string[]) => ({
  ...{ guestIp: "172.16.0.2", name, ttlSeconds },
  addresses: addresses.length === 0 ? ["192.0.2.7"] : addresses,
});

describe("names of a guest", () => {
  it("are resolved with NAT only, and for guests that run", async () => {
    const { policy, guestEgress } = bench();
    expect(policy.mayResolve("172.16.0.2", "apt.linux.test")).toBe(false);
    policy.admit(vmOf(true));
    expect(policy.mayResolve("172.16.0.2", "apt.linux.test")).toBe(true);
    policy.admit(vmOf(false));
    expect(policy.mayResolve("172.16.0.2", "apt.linux.test")).toBe(false);
    await guestEgress.resolved(answer("apt.linux.test", 5));
    policy.forget(vmOf(true));
    expect(guestEgress.nameOf("172.16.0.2", "192.0.2.7")).toBeUndefined();
    expect(policy.mayResolve("172.16.0.2", "apt.linux.test")).toBe(false);
  });

  it("open their addresses with a list, at most once for the time of an answer", async () => {
    const { policy, permits } = bench(["apt.linux.test:443/tcp", "a.test"]);
    policy.admit(vmOf(true));
    await policy.resolved(answer("apt.linux.test", 5));
    expect(permits).toHaveLength(1);
    expect(permits[0]).toContain("{ 192.0.2.7 . tcp . 443 timeout 60s }");
    await policy.resolved(answer("apt.linux.test", 5));
    expect(permits).toHaveLength(1);
    // Of a longer answer, another name's entry, another address.
    await policy.resolved(answer("apt.linux.test", 300));
    expect(permits[1]).toContain("timeout 330s");
    await policy.resolved(answer("a.test", 5));
    expect(permits[2]).toMatch(/hosts-\S+ \{ 192\.0\.2\.7 timeout 60s \}/);
    await policy.resolved(answer("a.test", 5, "192.0.2.7", "192.0.2.8"));
    expect(permits[3]).not.toContain("192.0.2.7");
    expect(permits[3]).toContain("192.0.2.8");
    await policy.resolved(answer("other.test", 5));
    expect(permits).toHaveLength(4);
  });

  it("open nothing without a list, nor without NAT", async () => {
    const open = bench();
    open.policy.admit(vmOf(true));
    await open.policy.resolved(answer("apt.linux.test", 5));
    expect(open.permits).toEqual([]);
    const closed = bench(["apt.linux.test"]);
    closed.policy.admit(vmOf(false));
    await closed.policy.resolved(answer("apt.linux.test", 5));
    expect(closed.permits).toEqual([]);
  });

  it("are no use when nothing can be opened, and are tried again", async () => {
    const { policy, permits, privileged } = bench(["a.test"]);
    policy.admit(vmOf(true));
    privileged.missing = new PrivilegeMissingError("gone");
    await expect(policy.resolved(answer("a.test", 5))).rejects.toMatchObject({
      code: "ERR_PRIVILEGE_MISSING",
    });
    privileged.missing = undefined;
    await policy.resolved(answer("a.test", 5));
    expect(permits).toHaveLength(1);
  });
});

it("says what is in force", () => {
  const { policy } = bench(["a.test"]);
  expect(policy.inForce(vmOf(false))).toEqual({
    kind: "closed",
    recorded: true,
  });
  expect(policy.inForce(vmOf(true))).toEqual({
    kind: "listed",
    allow: ["a.test"],
    recorded: true,
  });
  expect(bench().policy.inForce(vmOf(true, "user"))).toEqual({
    kind: "open",
    recorded: false,
  });
});

it("asks the kernel for nothing in network mode user", async () => {
  const { policy, commands } = bench();
  const { signal } = new AbortController();
  expect(await policy.refusals(vmOf(true, "user"), signal)).toEqual([]);
  expect(commands.commands).toEqual([]);
});

describe("refused names", () => {
  it("are counted, the last ones kept", () => {
    const names = new RefusedNames();
    for (let index = 0; index < 300; index++)
      names.note("172.16.0.2", `n${String(index)}.test`, new Date(index));
    names.note("172.16.0.2", "n100.test", new Date(7_000));
    const list = names.of("172.16.0.2");
    expect(list).toHaveLength(256);
    expect(list.at(-1)).toEqual({
      at: "1970-01-01T00:00:07.000Z",
      protocol: "dns",
      name: "n100.test",
      count: 2,
    });
    expect(list.some(({ name }) => name === "n43.test")).toBe(false);
    names.forget("172.16.0.2");
    expect(names.of("172.16.0.2")).toEqual([]);
  });
});

describe("how long an address stays open", () => {
  it.each([
    [0, 60],
    [29, 60],
    [31, 61],
    [3600, 3630],
    [2 ** 31, 86_400],
  ])("for an answer of %d s: %d s", (ttl, seconds) => {
    expect(Permits.secondsFor(ttl)).toBe(seconds);
  });
  it("is never cut short, and renewed before it ends", () => {
    const permits = new Permits();
    permits.opened("*", ["192.0.2.7"], 3630, 0);
    expect(permits.missing("*", ["192.0.2.7"], 5, 0)).toEqual([]);
    expect(permits.missing("*", ["192.0.2.7"], 3600, 0)).toEqual([]);
    expect(permits.missing("*", ["192.0.2.7"], 3600, 60_000)).toEqual([
      "192.0.2.7",
    ]);
    expect(permits.missing("x", ["192.0.2.7"], 5, 0)).toEqual(["192.0.2.7"]);
    permits.opened("*", ["192.0.2.8"], Permits.secondsFor(2 ** 31), 0);
    expect(permits.missing("*", ["192.0.2.8"], 2 ** 31, 0)).toEqual([]);
  });
});
