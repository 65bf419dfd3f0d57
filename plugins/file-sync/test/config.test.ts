import { describe, expect, it } from "vitest";
import { z } from "zod";
import { fileSyncConfig } from "../src/config.js";
import { expandHostPath, parentsOf } from "../src/guest-path.js";

const good = { host: "~/.a", guest: "~/.a" };
const parse = (entry: Record<string, unknown>) =>
  fileSyncConfig.safeParse({
    entries: [good, { ...good, guest: "~/.b" }, entry],
  });

describe("the section", () => {
  it("is empty by default", () => {
    expect(fileSyncConfig.parse({})).toEqual({ entries: [] });
  });

  it("takes both ways to write a guest path, and modes", () => {
    const entries = [
      { host: "~/.aws", guest: "~/.aws/" },
      { host: "/etc/x", guest: "/root/./a//b", mode: "640" },
      { host: "/etc/y", guest: "~/c", mode: "0755" },
    ];
    expect(fileSyncConfig.parse({ entries }).entries).toEqual([
      { host: "~/.aws", guest: "root/.aws", mode: 0o600 },
      { host: "/etc/x", guest: "root/a/b", mode: 0o640 },
      { host: "/etc/y", guest: "root/c", mode: 0o755 },
    ]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["an empty host path", { ...good, host: "" }, "entries[2].host"],
    ["a relative host path", { ...good, host: "x/y" }, "entries[2].host"],
    ["a climbing host path", { ...good, host: "~/../x" }, "entries[2].host"],
    ["another user's home", { ...good, host: "~bob/x" }, "entries[2].host"],
    ["a bare ~", { ...good, host: "~" }, "entries[2].host"],
    ["a NUL", { ...good, host: "/a\0b" }, "entries[2].host"],
    ["an empty guest path", { ...good, guest: "" }, "entries[2].guest"],
    ["a relative guest path", { ...good, guest: "x" }, "entries[2].guest"],
    [
      "a guest path outside /root",
      { ...good, guest: "/etc/passwd" },
      "entries[2].guest",
    ],
    [
      "a guest path beside /root",
      { ...good, guest: "/rootx/y" },
      "entries[2].guest",
    ],
    ["/root itself", { ...good, guest: "~/" }, "entries[2].guest"],
    [
      "a climbing guest path",
      { ...good, guest: "~/a/../../etc" },
      "entries[2].guest",
    ],
    ["another guest user", { ...good, guest: "~bob/x" }, "entries[2].guest"],
    [
      "too long a guest path",
      { ...good, guest: `~/${"x/".repeat(2100)}` },
      "entries[2].guest",
    ],
    [
      "a mode of two digits",
      { ...good, guest: "~/c", mode: "60" },
      "entries[2].mode",
    ],
    [
      "a mode that is not octal",
      { ...good, guest: "~/c", mode: "0800" },
      "entries[2].mode",
    ],
    [
      "a mode that is a number",
      { ...good, guest: "~/c", mode: 600 },
      "entries[2].mode",
    ],
    [
      "a place that is taken",
      { ...good, guest: "/root/.b" },
      "entries[2].guest",
    ],
    ["a missing guest path", { host: "~/.a" }, "entries[2].guest"],
    ["an unknown key", { ...good, guest: "~/c", owner: "me" }, "entries[2]"],
  ])("refuses %s by the entry's index", (_what, entry, where) => {
    const { error } = parse(entry);
    expect(error && z.prettifyError(error)).toContain(where);
  });
});

it("~ is the home directory of the daemon's user", () => {
  expect(expandHostPath("~/.aws/", "/home/ada")).toBe("/home/ada/.aws");
  expect(expandHostPath("/", "/home/ada")).toBe("/");
});

it("parents are below /root, outermost first", () => {
  expect(parentsOf("root/a")).toEqual([]);
  expect(parentsOf("root/a/b/c")).toEqual(["root/a", "root/a/b"]);
});
