import {
  guestDefaults,
  withNameservers,
} from "../../src/lifecycle/guest-defaults.js";
import { fakeVm } from "@banger/core/testing";
import { describe, expect, it } from "vitest";

const guest = guestDefaults({
  vm: fakeVm(),
  network: {
    address: "10.0.2.15/24",
    gateway: "10.0.2.2",
    nameservers: ["10.0.2.3", "10.0.2.4"],
  },
  authorizedKey: "key",
  hostKey: { privateKey: "private", publicKey: "public" },
});

describe("the name servers of a guest", () => {
  it("are those of its network", () => {
    expect(withNameservers(guest).files["/etc/resolv.conf"]).toEqual({
      kind: "file",
      content: "nameserver 10.0.2.3\nnameserver 10.0.2.4\n",
      mode: 0o644,
    });
  });

  it("are what a plugin says instead, which finds the slot free", () => {
    expect(guest.files["/etc/resolv.conf"]).toBeUndefined();
    const file = { kind: "symlink", target: "/run/resolv.conf" } as const;
    const files = { ...guest.files, "/etc/resolv.conf": file };
    const changed = { ...guest, files };
    expect(withNameservers(changed)).toBe(changed);
  });
});
