import { describe, expect, it } from "vitest";
import { createRoot } from "@banger/core";
import { fakeDaemon, FakeHost } from "@banger/core/testing";

describe("createRoot", () => {
  it("resolves everything that it registers, once the host's contracts are there", () => {
    const cradle = fakeDaemon(new FakeHost());
    const names = Object.keys(createRoot().registrations);
    expect(names).toEqual(expect.arrayContaining(["startVm", "vmService"]));
    for (const name of names as (keyof typeof cradle)[])
      expect(cradle[name], name).toBeTruthy();
  });

  it("resolves each operation once", () => {
    const cradle = fakeDaemon(new FakeHost());
    expect(cradle.startVm).toBe(cradle.startVm);
    expect(cradle.vmService).toBe(cradle.vmService);
  });
});
