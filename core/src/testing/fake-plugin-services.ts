import type { PluginServices } from "../plugins/define-plugin.js";
import { FakeCommandRunner } from "./fake-command-runner.js";
import { FakeGuestEgress } from "./fake-guest-egress.js";
import { FakeNetwork } from "./fake-network.js";
import { FakePrivileged } from "./fake-privileged.js";
import { fakeGuestKeys, fakeHostFacts } from "./fixtures.js";
import { memoryLogger } from "./memory-logger.js";

/** Everything that a plugin may inject; `privileged` runs programs with `commands`. */
export function fakePluginServices() {
  const commands = new FakeCommandRunner();
  return {
    commands,
    network: new FakeNetwork(),
    hostFacts: fakeHostFacts(),
    guestKeys: fakeGuestKeys(),
    guestEgress: new FakeGuestEgress(),
    privileged: new FakePrivileged(commands),
    logger: memoryLogger(),
  } satisfies PluginServices;
}
