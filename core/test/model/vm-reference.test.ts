import { describe, expect, it } from "vitest";
import { resolveVm } from "@banger/core";
import { fakeVm, fakeVmId } from "@banger/core/testing";

const otter = fakeVm({ id: fakeVmId(0xa1), name: "calm-otter" });
const owl = fakeVm({ id: fakeVmId(0xb2), name: "calm-owl" });
const calm = fakeVm({ id: fakeVmId(0xc3), name: "calm" });
const vms = [otter, owl, calm];

describe("resolveVm", () => {
  it("takes an exact id or name, also one that begins others", () => {
    expect(resolveVm("calm", vms)).toBe(calm);
    expect(resolveVm(owl.id, vms)).toBe(owl);
  });

  it("takes a prefix of exactly one", () => {
    expect(resolveVm("calm-ot", vms)).toBe(otter);
    expect(resolveVm("0000000000b", vms)).toBe(owl);
  });

  it("takes no short word for the beginning of an id", () => {
    expect(() => resolveVm("000", [otter])).toThrow(
      expect.objectContaining({ code: "ERR_VM_NOT_FOUND" }),
    );
    expect(resolveVm("0000", [otter])).toBe(otter);
  });

  it("counts a VM once when both its id and its name match", () => {
    const one = fakeVm({ id: fakeVmId(0), name: "0000x" });
    expect(resolveVm("0000", [one, calm].slice(0, 1))).toBe(one);
  });

  it("takes the id before a name that looks like it", () => {
    const impostor = fakeVm({ id: fakeVmId(0xd4), name: owl.id });
    expect(resolveVm(owl.id, [impostor, owl])).toBe(owl);
  });

  it("lists the matches when there are several", () => {
    expect(() => resolveVm("calm-o", vms)).toThrow(
      expect.objectContaining({
        code: "ERR_VM_AMBIGUOUS",
        kind: "usage",
        message: expect.stringContaining("calm-otter, calm-owl") as string,
      }),
    );
  });

  it("names only some of many, whether they match or not", () => {
    const many = Array.from({ length: 70 }, (_, place) =>
      fakeVm({ id: fakeVmId(place), name: `box-${String(place)}` }),
    );
    const first = "box-0, box-1, box-2, box-3, box-4 and 65 more";
    expect(() => resolveVm("box-", many)).toThrow(
      `"box-" matches several VMs: ${first}`,
    );
    expect(() => resolveVm("zzzzzz", many)).toThrow(
      expect.objectContaining({
        hint: "Known: box-0, box-1, box-10, box-11, box-12 and 65 more",
      }),
    );
  });

  it("finds nothing for an empty reference and suggests for a mistyped one", () => {
    const notFound = { code: "ERR_VM_NOT_FOUND", kind: "not-found" };
    expect(() => resolveVm("", [calm])).toThrow(
      expect.objectContaining(notFound),
    );
    expect(() => resolveVm("clam-owl", vms)).toThrow(
      expect.objectContaining({ ...notFound, hint: "Did you mean calm-owl?" }),
    );
  });
});
