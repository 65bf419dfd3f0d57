import { describe, expect, it } from "vitest";
import type { ListeningPort } from "@banger/core";
import { reachablePort, renderEndpoint } from "../../src/model/endpoint.js";
import { fakeVm } from "@banger/core/testing";

const vm = fakeVm({ name: "web", runtime: { dnsName: "web.vm" } });
const port: ListeningPort = {
  protocol: "tcp",
  address: "0.0.0.0",
  port: 80,
  scheme: "http",
};
const own = { address: vm.runtime.guestIp, port: 8080, guestPort: 80 };
const ways = { direct: false, named: true, forwards: [own] };
const endpoint = (
  changes: Partial<ListeningPort>,
  more: Partial<typeof ways> = {},
): string | undefined =>
  reachablePort(vm, { ...port, ...changes }, { ...ways, ...more }).endpoint;

describe("an endpoint", () => {
  it("is the forward's, by name, with its scheme", () => {
    expect(endpoint({})).toBe("http://web.vm:8080");
    expect(
      reachablePort(vm, { protocol: "tcp", address: "::", port: 80 }, ways),
    ).toEqual({
      protocol: "tcp",
      address: "::",
      port: 80,
      endpoint: "web.vm:8080",
    });
  });

  it("is an address where no name leads, or it is not the VM's own", () => {
    expect(endpoint({}, { named: false })).toBe("http://127.77.0.1:8080");
    const local = { ...own, address: "127.0.0.1" };
    expect(endpoint({}, { forwards: [local] })).toBe("http://127.0.0.1:8080");
    expect(renderEndpoint(vm, own, true)).toBe("web.vm:8080");
  });

  it("is the port itself on a direct network, unless only the guest reaches it", () => {
    const direct = { direct: true, forwards: [] };
    expect(endpoint({}, direct)).toBe("http://web.vm:80");
    expect(endpoint({ address: "127.0.0.1" }, direct)).toBeUndefined();
    expect(endpoint({ address: "::1" }, direct)).toBeUndefined();
    expect(endpoint({ address: "127.0.0.1" }, { direct: true })).toBe(
      "http://web.vm:8080",
    );
  });

  it("is absent where nothing leads there", () => {
    expect(endpoint({ port: 81 })).toBeUndefined();
    expect(endpoint({ protocol: "udp" })).toBeUndefined();
  });
});
