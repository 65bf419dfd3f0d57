import { describe, expect, it } from "vitest";
import { mergeTables } from "./merge-tables.js";

const settings = `
[vmm]
driver = "firecracker"
accel = "kvm"

[network]
mode = "bridge"
`;

describe("mergeTables", () => {
  it("adds tables that are not there, behind keys without a table", () => {
    expect(mergeTables('log_level = "debug"\n', settings)).toBe(
      'log_level = "debug"\n[vmm]\ndriver = "firecracker"\naccel = "kvm"\n[network]\nmode = "bridge"\n',
    );
  });

  it("adds at the end of a table that is there what it does not set", () => {
    const document = '[vmm]\naccel = "emulate"\n\n[plugins.nat]\n';
    expect(mergeTables(document, settings)).toBe(
      '[vmm]\naccel = "emulate"\ndriver = "firecracker"\n\n[plugins.nat]\n[network]\nmode = "bridge"\n',
    );
  });

  it("does not take a key of another table for one of its own", () => {
    const document = '[network]\nbridge = "br-fc"\n[plugins.x]\nmode = "none"';
    expect(mergeTables(document, "[network]\nmode = 'bridge'")).toBe(
      '[network]\nbridge = "br-fc"\nmode = \'bridge\'\n[plugins.x]\nmode = "none"',
    );
  });

  it("leaves a document as it is when there is nothing to add", () => {
    const document = "[vmm]\naccel = \n";
    expect(mergeTables(document, "")).toBe(document);
  });
});
