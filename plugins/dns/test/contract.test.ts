import { readFileSync } from "node:fs";
import { describePluginContract } from "@banger/core/testing";
import { describe, it } from "vitest";
import { plugin } from "../src/index.js";
import { freePort } from "./clients.js";

const packageJson: unknown = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

// The real sockets are part of the test, but not the port that an install on this host may be using.
const listen = `127.0.0.1:${String(await freePort())}`;

describePluginContract(plugin, {
  runner: { describe, it },
  packageJson,
  section: { listen },
});
