import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { describePluginContract } from "@banger/core/testing";
import { plugin } from "../src/index.js";
import { installFirewall } from "./fake-firewall.js";

const packageJson: unknown = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

describe("in network mode user", () => {
  describePluginContract(plugin, {
    runner: { describe, it },
    packageJson,
    section: {},
    vm: (vm) => ({ ...vm, spec: { ...vm.spec, nat: true } }),
  });
});

describe.each([
  [true, "ACCEPT", {}],
  [true, "DROP", {}],
  [true, "ACCEPT", { allow: ["10.0.0.0/8:443", "apt.linux.test"] }],
  [false, "ACCEPT", {}],
  [false, "DROP", {}],
] as const)(
  "in network mode bridge, with NAT %j, FORWARD %s, %j",
  (nat, policy, section) => {
    describePluginContract(plugin, {
      runner: { describe, it },
      packageJson,
      section,
      arrange: ({ commands, objects, network }) => {
        network.mode = "bridge";
        network.switchesLive = true;
        installFirewall(commands, objects, policy);
      },
      vm: (vm) => ({
        ...vm,
        spec: { ...vm.spec, nat },
        runtime: {
          ...vm.runtime,
          networkMode: "bridge",
          guestIp: "172.16.0.2",
          tapDevice: "tap-fc-00000000",
        },
      }),
    });
  },
);
