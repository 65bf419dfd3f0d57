import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { Install } from "../install.js";
import { names, read } from "../inventory-files.js";
import { takeNetworkInventory } from "../network-inventory.js";
import { ownProcesses, vmmPidsOf } from "../own-processes.js";
import { Guests } from "./guests.js";
import { Internet } from "./internet.js";
import { SystemInstall } from "./system-install.js";

describe("a system install that is removed while a guest runs", () => {
  const undo: (() => Promise<unknown>)[] = [];
  let install: SystemInstall;
  let before: readonly string[];
  beforeAll(async () => {
    const internet = await Internet.start();
    undo.push(() => internet.stop());
    // Another install may have left its bridge, which the next one takes over.
    before = everyDevice().filter((entry) => entry !== "br-fc");
    const config = Install.dnsConfig(15396);
    install = await SystemInstall.make(config, inject("imagesDirectory"));
    undo.push(() => install.remove());
    await new Guests(install).run({ last: ["--nat"] });
  });
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  /** Bridges, idle devices and the switch of forwarding too. */
  const everyDevice = (): readonly string[] =>
    [
      ...takeNetworkInventory(),
      ...names("/sys/class/net"),
      `ip_forward ${read("/proc/sys/net/ipv4/ip_forward")?.trim() ?? ""}`,
    ].sort();

  it("leaves the host as it was: no process, device, rule or file", async () => {
    expect(vmmPidsOf(install.place)).toHaveLength(1);
    expect(everyDevice()).not.toEqual(before);
    undo.pop();
    expect(await install.purge()).toEqual([]);
    expect(ownProcesses(install.place)).toEqual([]);
    expect(everyDevice()).toEqual(before);
  });
});
