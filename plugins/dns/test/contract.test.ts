import { readFileSync } from "node:fs";
import {
  describePluginContract,
  type ContractHost,
} from "@banger/core/testing";
import { describe, it } from "vitest";
import { plugin } from "../src/index.js";
import { freePort } from "./clients.js";

const packageJson: unknown = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

// The real sockets are part of the test, but not the port that an install on this host may be using.
const port = String(await freePort());
const runner = { describe, it };

describePluginContract(plugin, {
  runner,
  packageJson,
  section: { listen: `127.0.0.1:${port}` },
});

/** A host with a bridge that is ours, where rules and routes are objects. */
function withBridge({ commands, network, objects }: ContractHost): void {
  network.bridgeName = "br-fc";
  const device = {
    ifalias: "banger-00c0ffee",
    linkinfo: { info_kind: "bridge" },
    addr_info: [{ family: "inet", local: "10.0.2.2" }],
  };
  commands
    .install("ip", () => ({ stdout: JSON.stringify([device]) }))
    .install("nft", ({ args, input }) => {
      if (args[0] === "list") return { exitCode: objects.has("rules") ? 0 : 1 };
      objects.delete("rules");
      if (String(input).includes("dnat")) objects.add("rules");
      return undefined;
    })
    .install("resolvectl", ({ args }) => {
      const [verb = "", link] = args;
      // Without one it shows them all.
      if (link === undefined) return undefined;
      if (verb === "revert")
        for (const set of ["dns", "domain", "default-route", "dnssec"])
          objects.delete(`route: ${set}`);
      else objects.add(`route: ${verb}`);
      return undefined;
    });
}

describe("with a bridge", () => {
  describePluginContract(plugin, {
    runner,
    packageJson,
    // Every address: the bridge's own is none of this host's.
    section: { listen: `0.0.0.0:${port}` },
    arrange: withBridge,
  });
});
