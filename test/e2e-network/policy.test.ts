import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { VmRefusals } from "@banger/core";
import {
  leaks,
  takeInventoryOf,
  type HostInventory,
} from "../host-inventory.js";
import { Install } from "../install.js";
import { Guests } from "./guests.js";
import { hello, Internet, otherWeb, web } from "./internet.js";
import { rootLane, type Subject } from "./lanes.js";

describe("guests that are kept apart and may leave for a few places only", () => {
  const config = `[network]
isolate = true
${Install.dnsConfig(15393)}
[plugins.nat]
allow = ["${web.address}:${web.port}", "${otherWeb.name}:${otherWeb.port}"]
`;
  const undo: (() => Promise<void>)[] = [];
  let subject: Subject;
  let guests: Guests;
  let internet: Internet;
  let before: HostInventory;
  beforeAll(async () => {
    internet = await Internet.start();
    undo.push(() => internet.stop());
    subject = await rootLane.make(config);
    undo.push(() => subject.remove());
    guests = new Guests(subject.cli);
    before = takeInventoryOf(subject.place);
    await guests.run({ west: ["--nat"], east: ["--nat"] });
  });
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  const whyBlocked = async (name: string): Promise<VmRefusals> =>
    (await subject.cli.json([
      "vm",
      "why-blocked",
      name,
      "--json",
    ])) as VmRefusals;

  it("reach an address and a name of the list", async () => {
    expect(await guests.fetch("west", web.address)).toBe(hello(web));
    expect(await guests.fetch("west", otherWeb.name)).toBe(hello(otherWeb));
    expect((await whyBlocked("west")).refusals).toEqual([]);
  });

  it("reach no other port, address or name, and nobody outside hears of it", async () => {
    internet.takeRequests();
    internet.takeQuestions();
    const begun = Date.now();
    const closed = [
      [web.address, web.otherPort],
      [otherWeb.name, otherWeb.otherPort],
      [web.name, web.port],
    ] as const;
    expect(await guests.tryAll("west", closed)).toBe("");
    // What a name has opened for one guest is closed for the other.
    const unasked = [otherWeb.address, otherWeb.port] as const;
    expect(await guests.tryAll("east", [unasked])).toBe("");
    expect(internet.takeRequests()).toEqual([]);
    expect(internet.takeQuestions()).not.toContain(web.name);

    const west = await whyBlocked("west");
    expect(west.egress).toMatchObject({ kind: "listed", recorded: true });
    expect(west.refusals).toHaveLength(3);
    expect(west.refusals).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          protocol: "tcp",
          address: web.address,
          port: web.otherPort,
        }),
        expect.objectContaining({
          protocol: "tcp",
          address: otherWeb.address,
          port: otherWeb.otherPort,
          name: otherWeb.name,
        }),
        expect.objectContaining({ protocol: "dns", name: web.name }),
      ]),
    );
    for (const { at, count } of west.refusals) {
      expect(count).toBeGreaterThan(0);
      // The kernel tells the time of a refusal in whole seconds.
      expect(Date.parse(at)).toBeGreaterThan(begun - 2_000);
      expect(Date.parse(at)).toBeLessThan(Date.now() + 2_000);
    }
    const east = await whyBlocked("east");
    expect(east.refusals).toMatchObject([
      { protocol: "tcp", address: otherWeb.address, port: otherWeb.port },
    ]);
  });

  it("are told in words what was refused", async () => {
    const said = await subject.cli.ok(["vm", "why-blocked", "west"]);
    for (const word of [
      web.address,
      `${web.otherPort}`,
      otherWeb.name,
      web.name,
    ])
      expect(said).toContain(word);
  });

  it("find each other's names and do not reach each other", async () => {
    expect(await guests.greet("west", "east.vm")).toBe("TimeoutError");
    expect(await guests.greet("east", "west.vm")).toBe("TimeoutError");
    expect(await guests.greet("east", "nobody.vm")).toBe("gaierror");
  });

  it("leave nothing behind", async () => {
    await subject.cli.ok(["vm", "delete", "west", "east"]);
    expect(leaks(before, takeInventoryOf(subject.place))).toEqual([]);
    expect(internet.strays()).toBe(0);
  });
});
