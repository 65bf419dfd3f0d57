import { asValue, createRoot } from "@banger/core";
import { memoryLogger } from "@banger/core/testing";
import { expect, it } from "vitest";
import { loadConfig } from "../../src/config/load-config.js";
import { readHostFacts } from "../../src/facts/host-facts.js";
import { resolvePaths } from "../../src/paths.js";
import { registerHostServices } from "../../src/register-host-services.js";

const root = { uid: 0, homeDirectory: "/root" };
const user = { uid: 1000, homeDirectory: "/home/user" };

it.each([
  { who: "a root daemon", owner: root, installs: [], kind: "in-process" },
  { who: "a user's daemon", owner: user, installs: [], kind: "none" },
  {
    who: "the daemon of a system install",
    owner: user,
    installs: [{ service: "none" as const, build: "dev" }],
    kind: "helper",
  },
])("$who has privileges: $kind", async ({ owner, installs, kind }) => {
  const facts = { ...readHostFacts(), isRoot: owner.uid === 0 };
  const { values } = await loadConfig({ file: "/nonexistent", facts });
  const services = registerHostServices(createRoot(), {
    paths: resolvePaths({}, owner, () => installs[0]),
    config: values,
    build: { version: "1.0.0", build: "dev" },
  });
  services.register({
    hostFacts: asValue(facts),
    logger: asValue(memoryLogger()),
  });
  expect(services.cradle.privileged.kind).toBe(kind);
});
