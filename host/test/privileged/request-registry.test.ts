import {
  definePlugin,
  definePrivilegedRequest,
  type AnyPrivilegedRequest,
} from "@banger/core";
import { expect, it } from "vitest";
import { z } from "zod";
import { hostRequests } from "../../src/privileged/host-requests.js";
import { pingRequest } from "../../src/privileged/ping-request.js";
import { collectRequests } from "../../src/privileged/request-registry.js";

function request(name: string): AnyPrivilegedRequest {
  return definePrivilegedRequest({
    name,
    input: z.undefined(),
    output: z.undefined(),
    timeoutMs: 1_000,
    run: async () => Promise.resolve(undefined),
  });
}

function pluginWith(id: string, ...names: readonly string[]) {
  return definePlugin({
    id,
    privileged: names.map(request),
    apply: () => undefined,
  });
}

it("knows every request of the host and of the plugins by its name", () => {
  const requests = collectRequests({
    host: [request("network.prepare")],
    plugins: [pluginWith("nat", "nat.ensure-rules", "nat.remove-rules")],
  });
  expect([...requests.keys()]).toEqual([
    "network.prepare",
    "nat.ensure-rules",
    "nat.remove-rules",
  ]);
  for (const [name, found] of requests) expect(found.name).toBe(name);
});

it("has no two of one name", () => {
  const twice = [request("network.prepare"), request("network.prepare")];
  expect(() => collectRequests({ host: twice, plugins: [] })).toThrow(
    "two privileged requests are called network.prepare",
  );
  const plugins = [pluginWith("network", "network.prepare")];
  expect(() =>
    collectRequests({ host: [request("network.prepare")], plugins }),
  ).toThrow("two privileged requests are called network.prepare");
});

it("takes no name that could not be asked for, and none of another plugin's", () => {
  for (const name of ["prepare", "Network.prepare", "network.prepare\n", ""])
    expect(() =>
      collectRequests({ host: [request(name)], plugins: [] }),
    ).toThrow("is no name of a request");
  const plugins = [pluginWith("dns", "nat.ensure-rules")];
  expect(() => collectRequests({ host: [], plugins })).toThrow(
    expect.objectContaining({ code: "ERR_PLUGIN_LOAD" }),
  );
});

it("takes all of the host's own together", () => {
  const host = [
    pingRequest({ version: "1.0.0", build: "dev" }),
    ...hostRequests({
      firecracker: "/usr/bin/firecracker",
      jailer: "/usr/bin/jailer",
      jailBase: "/var/lib/banger/jail",
    }),
  ];
  expect(collectRequests({ host, plugins: [] }).size).toBe(host.length);
});
