import { newcTrailer, type GuestConfig } from "@banger/core";
import { describe, expect, it } from "vitest";
import { guestEntries } from "../../src/guest-boot/guest-tree.js";
import { readArchives, type Member } from "./newc-reader.js";
import { sampleGuest, sampleMachine } from "./sample-guest.js";

function members(guest: Partial<GuestConfig>): Map<string, Member> {
  const entries = guestEntries(sampleGuest(guest), sampleMachine);
  const [archive = []] = readArchives(
    Buffer.concat([...entries, newcTrailer()]),
  );
  return new Map(archive.map((member) => [member.path, member]));
}

const file = (content: string, mode = 0o644) =>
  ({ kind: "file", content, mode }) as const;

describe("guestEntries", () => {
  it("writes the tables that the script reads", () => {
    const tree = members({
      mounts: {
        "/root": { drive: "work", fsType: "ext4", options: ["noatime"] },
        "/data": { drive: "work", fsType: "ext4", options: [] },
      },
    });
    expect(tree.get("banger/mounts")?.content.toString()).toBe(
      "/dev/vdb /root ext4 rw,noatime\n/dev/vdb /data ext4 rw\n",
    );
    expect(tree.get("banger/network")?.content.toString()).toBe(
      "eth0 10.0.2.15/24 10.0.2.2\n",
    );
    expect(tree.get("banger")?.mode).toBe(0o700);
    expect(tree.get("banger/mounts")?.mode).toBe(0o600);
  });

  it("puts every directory before what is in it, with its mode", () => {
    const tree = members({
      files: {
        "/root/.ssh/config": file("x", 0o600),
        "/root/.ssh": { kind: "directory", mode: 0o700 },
        "/tmp/a": file("x"),
        "/var/tmp/b": file("x"),
        "/etc/a-b": file("x"),
        "/etc/a/b": file("x"),
        "/etc/link": { kind: "symlink", target: "../../anywhere" },
      },
    });
    const paths = [...tree.keys()];
    for (const path of paths.filter((name) => name.includes("/"))) {
      const parent = path.slice(0, path.lastIndexOf("/"));
      expect(paths.slice(0, paths.indexOf(path)), path).toContain(parent);
      expect(tree.get(parent)?.kind).toBe("directory");
    }
    const mode = (path: string): string | undefined =>
      tree.get(`banger/files${path}`)?.mode.toString(8);
    expect(mode("/root")).toBe("700");
    expect(mode("/root/.ssh")).toBe("700");
    expect(mode("/root/.ssh/config")).toBe("600");
    expect(mode("/tmp")).toBe("1777");
    expect(mode("/var/tmp")).toBe("1777");
    expect(mode("/etc")).toBe("755");
    expect(tree.get("banger/files/etc/link")).toMatchObject({
      kind: "symlink",
      content: Buffer.from("../../anywhere"),
    });
    expect(new Set(paths).size).toBe(paths.length);
    expect([...tree.values()].every(({ uid, gid }) => uid + gid === 0)).toBe(
      true,
    );
  });

  it("installs units, and links those that are wanted", () => {
    const tree = members({
      units: {
        "a.service": { content: "[Unit]\n", wantedBy: "multi-user.target" },
        "b.service": { content: "[Unit]\n" },
      },
    });
    const system = "banger/files/etc/systemd/system";
    expect(tree.get(`${system}/a.service`)?.content.toString()).toBe(
      "[Unit]\n",
    );
    expect(
      tree
        .get(`${system}/multi-user.target.wants/a.service`)
        ?.content.toString(),
    ).toBe("/etc/systemd/system/a.service");
    expect(tree.has(`${system}/b.service`)).toBe(true);
    expect([...tree.keys()].filter((path) => path.includes("wants/"))).toEqual([
      `${system}/multi-user.target.wants/a.service`,
    ]);
  });

  it.each([
    "etc/passwd",
    "/etc/../root/x",
    "/etc/..",
    "/etc/./x",
    "/etc//x",
    "/etc/x/",
    "/",
    "",
    "/with space",
    "/with\ttab",
    "/with\nline",
    "/with\u0000nul",
    "/with\u0007bell",
    "/with\u00a0space",
  ])("refuses %j as a file and as a mount point", (path) => {
    const refusal = expect.objectContaining({
      code: "ERR_GUEST_PATH",
    }) as Error;
    expect(() => members({ files: { [path]: file("x") } })).toThrow(refusal);
    expect(() =>
      members({
        mounts: { [path]: { drive: "work", fsType: "ext4", options: [] } },
      }),
    ).toThrow(refusal);
  });

  it.each(["ro,suid", "a b", "a\nb", "", "a:b"])(
    "refuses the mount option %j",
    (option) => {
      const mount = {
        drive: "work",
        fsType: "ext4",
        options: [option],
      } as const;
      expect(() => members({ mounts: { "/data": mount } })).toThrow(
        expect.objectContaining({ code: "ERR_GUEST_PATH" }),
      );
    },
  );

  it("refuses a unit where there is a file", () => {
    const units = {
      "a.service": { content: "[Unit]\n", wantedBy: "b.target" },
    };
    for (const path of ["a.service", "b.target.wants/a.service"])
      expect(() =>
        members({
          units,
          files: { [`/etc/systemd/system/${path}`]: file("x") },
        }),
      ).toThrow(
        expect.objectContaining({ code: "ERR_SLOT_CONFLICT" }) as Error,
      );
  });

  it("refuses a unit name that leads out of its directory", () => {
    expect(() =>
      members({ units: { "../../passwd": { content: "" } } }),
    ).toThrow(expect.objectContaining({ code: "ERR_GUEST_PATH" }));
    expect(() =>
      members({ units: { "a.service": { content: "", wantedBy: "../x" } } }),
    ).toThrow(expect.objectContaining({ code: "ERR_GUEST_PATH" }));
  });

  it("refuses a file below a symbolic link or another file", () => {
    for (const above of [
      file("x"),
      { kind: "symlink", target: "/etc" } as const,
    ])
      expect(() =>
        members({ files: { "/a": above, "/a/b": file("x") } }),
      ).toThrow(expect.objectContaining({ code: "ERR_GUEST_PATH" }));
  });

  it("is the same whatever the order of the files", () => {
    const files = {
      "/b/x": file("1"),
      "/a": file("2"),
      "/b": { kind: "directory", mode: 0o711 },
    } as const;
    const reversed = Object.fromEntries(Object.entries(files).reverse());
    const bytes = (guest: GuestConfig): Buffer =>
      Buffer.concat(guestEntries(guest, sampleMachine));
    expect(
      bytes(sampleGuest({ files })).equals(
        bytes(sampleGuest({ files: reversed })),
      ),
    ).toBe(true);
  });
});
