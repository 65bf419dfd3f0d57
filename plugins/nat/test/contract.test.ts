import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { describePluginContract } from "@banger/core/testing";
import { plugin } from "../src/index.js";

const packageJson: unknown = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

describePluginContract(plugin, {
  runner: { describe, it },
  packageJson,
  section: {},
  vm: (vm) => ({ ...vm, spec: { ...vm.spec, nat: true } }),
});
