import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import {
  leaks,
  takeInventoryOf,
  type HostInventory,
} from "../host-inventory.js";
import { Install } from "../install.js";
import { runVariables } from "../run-variables.js";
import { Guests, runArguments } from "./guests.js";
import {
  HelperProxy,
  type HelperKill,
  type Moment,
  type PassedRequest,
} from "./helper-proxy.js";
import { hello, Internet, web } from "./internet.js";
import { SystemInstall } from "./system-install.js";

const moments: readonly Moment[] = ["before", "during", "after"];

const isThorough = process.env[runVariables.everyKill] === "1";

/** Every request in every way, or a request early, one in the middle and one late, each in another way. Pure. */
function plansFor(requests: readonly PassedRequest[]): readonly HelperKill[] {
  const all = requests.flatMap((_, index) =>
    moments.map((moment) => ({ at: index + 1, moment })),
  );
  if (isThorough) return all;
  const last = requests.length - 1;
  return moments.map((moment, index) => ({
    at: 1 + Math.round((index * last) / (moments.length - 1)),
    moment,
  }));
}

describe("a root helper that is killed at a request", () => {
  const undo: (() => Promise<void>)[] = [];
  let install: SystemInstall;
  let guests: Guests;
  let internet: Internet;
  let proxy: HelperProxy;
  let absent: HostInventory;
  beforeAll(async () => {
    internet = await Internet.start();
    undo.push(() => internet.stop());
    const config = `${Install.dnsConfig(15394)}[network]\ntap_pool_size = 2\n`;
    install = await SystemInstall.make(config, inject("imagesDirectory"));
    undo.push(() => install.remove());
    guests = new Guests(install);
    proxy = new HelperProxy(install.helper);
    await proxy.insert();
    undo.push(() => proxy.withdraw());
    absent = inventory();
  });
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  const inventory = (): HostInventory => takeInventoryOf(install.place);
  /** Runs it undisturbed. */
  const count = async (
    ...args: string[]
  ): Promise<readonly PassedRequest[]> => {
    proxy.arm();
    await install.ok(args);
    return proxy.passed();
  };
  /** Runs it with a helper that dies, and starts another one. */
  const kill = async (
    plan: HelperKill,
    requests: readonly PassedRequest[],
    ...args: readonly string[]
  ): Promise<void> => {
    proxy.arm(plan, requests[plan.at - 1]?.durationMs);
    await install.run(args);
    // A helper that outlives its plan would prove nothing.
    expect(await proxy.died()).toBeDefined();
    proxy.arm();
    await install.startHelper();
    await proxy.insert();
  };

  it("lets a guest's way out be switched as soon as there is another one", async () => {
    await guests.run({ patient: [] });
    const set = (nat: string): readonly string[] => {
      return ["vm", "set", "patient", nat];
    };
    const closed = inventory();
    const opening = await count(...set("--nat"));
    const open = inventory();
    expect(await guests.fetch("patient", web.address)).toBe(hello(web));
    await install.ok(set("--no-nat"));
    expect(opening.length).toBeGreaterThan(0);
    for (const plan of plansFor(opening)) {
      await kill(plan, opening, ...set("--nat"));
      await install.ok(set("--nat"));
      expect(inventory()).toEqual(open);
      expect(await guests.fetch("patient", web.address)).toBe(hello(web));
      if (isThorough) await kill(plan, opening, ...set("--no-nat"));
      await install.ok(set("--no-nat"));
      expect(inventory()).toEqual(closed);
      const place = [web.address, web.port] as const;
      expect(await guests.tryAll("patient", [place])).toBe("");
    }
  });

  it("leaves nothing of a VM that was being stopped or deleted", async () => {
    await kill({ at: 1, moment: "during" }, [], "vm", "stop", "patient");
    await install.ok(["vm", "start", "patient"]);
    expect(await guests.states()).toEqual({ patient: "running" });
    await kill({ at: 1, moment: "after" }, [], "vm", "delete", "patient");
    const left = Object.keys(await guests.states());
    if (left.length > 0) await install.ok(["vm", "delete", ...left]);
    expect(leaks(absent, inventory())).toEqual([]);
  });

  it("leaves nothing of a VM that was being started", async () => {
    const start = runArguments("started", ["--nat"]);
    const requests = await count(...start);
    await install.ok(["vm", "delete", "started"]);
    expect(leaks(absent, inventory())).toEqual([]);
    for (const plan of plansFor(requests)) {
      await kill(plan, requests, ...start);
      const left = Object.keys(await guests.states());
      if (left.length > 0) await install.ok(["vm", "delete", ...left]);
      expect(leaks(absent, inventory())).toEqual([]);
    }
    expect(internet.strays()).toBe(0);
  });
});
