import { describe, expect, it } from "vitest";
import {
  compareFirecrackerVersions,
  featuresOf,
  parseFirecrackerVersion,
  requireBootable,
} from "../../../src/vmm/firecracker/version.js";

describe("parseFirecrackerVersion", () => {
  it.each([
    ["Firecracker v1.7.0\n\n", "1.7.0"],
    [
      "Firecracker v1.5.1\n\nSupported snapshot data format versions: v0.23.0, v1.5.0\n",
      "1.5.1",
    ],
    [
      "Firecracker v1.13.1\n\n2026-03-09T10:00:00 [anonymous-instance:main] Firecracker exiting successfully. exit_code=0\n",
      "1.13.1",
    ],
    ["1.17.0-dev", "1.17.0-dev"],
    ["v1.8.0-12-gabc1234-dirty", "1.8.0-12-gabc1234-dirty"],
  ])("reads %j", (text, written) => {
    expect(parseFirecrackerVersion(text).text).toBe(written);
  });

  it.each([
    "",
    "\n",
    "QEMU emulator version 7.2.19",
    "Firecracker",
    "Firecracker v1.7",
    "Firecracker v99999.0.0",
    "Firecracker v1.7.0 and more",
    "log line\nFirecracker v1.7.0",
    `Firecracker v1.7.0-${"x".repeat(100_000)}`,
    "\u001b[31m",
  ])("refuses %j", (text) => {
    try {
      parseFirecrackerVersion(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "ERR_FIRECRACKER_VERSION" });
      expect((error as Error).message.length).toBeLessThan(300);
      // eslint-disable-next-line no-control-regex -- that is what must not be in it
      expect((error as Error).message).not.toMatch(/[\u0000-\u001f]/);
    }
  });
});

describe("versions", () => {
  it("are in the order of their releases", () => {
    const ordered = [
      "1.5.0",
      "1.5.1",
      "1.10.0-dev",
      "1.10.0",
      "1.10.1",
      "1.17.0-dev",
      "1.17.0",
      "2.0.0",
    ].map(parseFirecrackerVersion);
    const shuffled = [3, 6, 0, 7, 2, 5, 1, 4].map((index) => ordered[index]!);
    expect(shuffled.sort(compareFirecrackerVersions)).toEqual(ordered);
    expect(compareFirecrackerVersions(ordered[0]!, ordered[0]!)).toBe(0);
  });

  it.each([
    ["1.7.0", []],
    ["1.8.0-dev", []],
    ["1.8.0", ["acpi"]],
    ["1.8.0-3-gabc1234", ["acpi"]],
    ["1.12.9", ["acpi"]],
    ["1.13.0", ["acpi", "pci"]],
    ["1.14.0", ["acpi", "freePageReporting", "pci", "serialFile"]],
    ["1.16.1", ["acpi", "freePageReporting", "pci", "serialFile"]],
    ["1.17.0-dev", ["acpi", "freePageReporting", "pci", "serialFile"]],
    ["1.17.0", ["acpi", "bzImage", "freePageReporting", "pci", "serialFile"]],
    ["2.0.0", ["acpi", "bzImage", "freePageReporting", "pci", "serialFile"]],
  ])("have features: %s has %j", (text, features) => {
    const has = Object.entries(featuresOf(parseFirecrackerVersion(text)))
      .filter(([, value]) => value)
      .map(([name]) => name);
    expect(has.sort()).toEqual(features);
  });
});

describe("requireBootable", () => {
  it("is content from the first version with ACPI on", () => {
    for (const text of ["1.8.0", "1.17.0-dev", "2.0.0"])
      requireBootable(parseFirecrackerVersion(text));
  });

  it.each([
    ["1.4.9", /API/],
    ["1.5.0", /ACPI/],
    ["1.7.9", /ACPI/],
    ["1.8.0-dev", /ACPI/],
  ])("refuses %s, with the reason and what to install", (text, reason) => {
    try {
      requireBootable(parseFirecrackerVersion(text));
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        code: "ERR_FIRECRACKER_TOO_OLD",
        kind: "unavailable",
        message: expect.stringMatching(reason) as string,
        hint: expect.stringContaining("1.8 or later") as string,
      });
      expect((error as Error).message).toContain(text);
    }
  });
});
