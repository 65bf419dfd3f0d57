import { describe, expect, it } from "vitest";
import {
  resolvePaths,
  socketNameLimit,
  socketPath,
  socketPathLimit,
  vmDirectory,
  vmRunDirectory,
  vmSocketNames,
} from "../../src/paths.js";

const owner = { uid: 1234, homeDirectory: "/home/ann" };
const id = "0123456789ab";

describe("resolvePaths", () => {
  it("follows the XDG defaults of a home directory", () => {
    const paths = resolvePaths({ XDG_RUNTIME_DIR: "/run/user/1234" }, owner);
    expect(paths.configFile).toBe("/home/ann/.config/banger/config.toml");
    expect(paths.database).toBe("/home/ann/.local/state/banger/state.db");
    expect(paths.ociCacheDirectory).toBe("/home/ann/.cache/banger/oci");
    expect(paths.daemonSocket).toBe("/run/user/1234/banger/bangerd.sock");
    expect(vmDirectory(paths, id)).toBe(
      `/home/ann/.local/state/banger/vms/${id}`,
    );
    expect(vmRunDirectory(paths, id)).toBe(`/run/user/1234/banger/vms/${id}`);
    expect(paths.home).toBeUndefined();
  });

  it("takes every XDG variable, and ignores empty and relative ones", () => {
    const paths = resolvePaths(
      {
        HOME: "/h",
        XDG_CONFIG_HOME: "/c",
        XDG_STATE_HOME: "",
        XDG_CACHE_HOME: "cache",
        XDG_RUNTIME_DIR: "run",
      },
      owner,
    );
    expect(paths.configFile).toBe("/c/banger/config.toml");
    expect(paths.stateDirectory).toBe("/h/.local/state/banger");
    expect(paths.cacheDirectory).toBe("/h/.cache/banger");
    expect(paths.runDirectory).toMatch(
      /^\/tmp\/banger-runtime-1234\/[0-9a-f]{12}$/,
    );
  });

  it("is that of the system install for its owner, unless a home is named", () => {
    const own = { service: "systemd", build: "b0" } as const;
    const find = (uid: number) => (uid === owner.uid ? own : undefined);
    const env = { HOME: "/h", XDG_STATE_HOME: "/s", XDG_RUNTIME_DIR: "/r" };
    const paths = resolvePaths(env, owner, find);
    expect(paths).toMatchObject({
      configFile: "/var/lib/banger/config/config.toml",
      stateDirectory: "/var/lib/banger/state",
      jailDirectory: "/var/lib/banger/jail",
      cacheDirectory: "/var/cache/banger",
      runParents: ["/run/banger"],
      daemonSocket: "/run/banger/bangerd.sock",
      helperSocket: "/run/banger-root/helper.sock",
      ...{ service: "systemd", installedBuild: "b0" },
    });
    const isOwn = resolvePaths({ ...env, BANGER_HOME: "/home" }, owner, find);
    expect(isOwn.stateDirectory).toBe("/home/state");
    expect(isOwn.jailDirectory).toBe("/home/state/jail");
    expect(isOwn.helperSocket).toBeUndefined();
    const other = resolvePaths(env, { ...owner, uid: 0 }, find);
    expect(other.stateDirectory).toBe("/s/banger");
    expect(other.service).toBeUndefined();
  });

  it("gives each home of one user sockets of its own", () => {
    const run = (HOME: string, more = {}) =>
      resolvePaths({ HOME, ...more }, owner).runDirectory;
    expect(run("/home/ann")).toBe("/tmp/banger-runtime-1234");
    expect(new Set([run("/home/ann"), run("/h"), run("/i")]).size).toBe(3);
    const inRuntime = { XDG_RUNTIME_DIR: "/run/user/1234" };
    expect(run("/home/ann", inRuntime)).toBe("/run/user/1234/banger");
    expect(run("/h", inRuntime)).toMatch(
      /^\/run\/user\/1234\/banger\/[0-9a-f]{12}$/,
    );
  });

  it("puts everything below BANGER_HOME", () => {
    const paths = resolvePaths(
      { BANGER_HOME: "/b/", XDG_STATE_HOME: "/s", XDG_RUNTIME_DIR: "/r" },
      owner,
    );
    expect(paths).toMatchObject({
      home: "/b",
      configFile: "/b/config.toml",
      stateDirectory: "/b/state",
      cacheDirectory: "/b/cache",
      runDirectory: "/b/run",
      runParents: ["/b/run"],
    });
  });

  it("counts a relative BANGER_HOME from the working directory", () => {
    const paths = resolvePaths({ BANGER_HOME: "mine" }, owner);
    expect(paths.home).toBe(`${process.cwd()}/mine`);
  });

  it("keeps the longest run directory that fits, and replaces the next longer one", () => {
    const longest =
      socketPathLimit - 1 - `/vms/${id}/`.length - socketNameLimit;
    const home = (length: number): string =>
      `/${"d".repeat(length - "//run".length)}`;
    const fitting = resolvePaths({ BANGER_HOME: home(longest) }, owner);
    expect(fitting.runDirectory).toHaveLength(longest);
    const name = "s".repeat(socketNameLimit);
    expect(socketPath(vmRunDirectory(fitting, id), name)).toHaveLength(107);

    const short = resolvePaths({ BANGER_HOME: home(longest + 1) }, owner);
    expect(short.runDirectory).toMatch(
      /^\/tmp\/banger-runtime-1234\/[0-9a-f]{12}$/,
    );
    expect(short.runParents).toEqual([
      "/tmp/banger-runtime-1234",
      short.runDirectory,
    ]);
    expect(short.stateDirectory).toBe(`${home(longest + 1)}/state`);
  });

  it("counts bytes and not characters", () => {
    const paths = resolvePaths({ BANGER_HOME: `/${"ü".repeat(40)}` }, owner);
    expect(paths.runDirectory).toContain("/tmp/banger-runtime-1234/");
  });

  it("prefers the runtime directory for the short one, and derives it from the long path alone", () => {
    const home = (letter: string): string => `/${letter.repeat(90)}`;
    const shorten = (letter: string): string =>
      resolvePaths(
        { BANGER_HOME: home(letter), XDG_RUNTIME_DIR: "/run/user/1234" },
        owner,
      ).runDirectory;
    expect(shorten("a")).toMatch(/^\/run\/user\/1234\/banger\/[0-9a-f]{12}$/);
    expect(shorten("a")).toBe(shorten("a"));
    expect(shorten("a")).not.toBe(shorten("b"));
  });

  it("gives every VM socket a path that a socket address holds", () => {
    for (const length of [1, 30, 60, 90, 300]) {
      const paths = resolvePaths(
        { XDG_RUNTIME_DIR: `/${"r".repeat(length)}` },
        owner,
      );
      for (const name of Object.values(vmSocketNames)) {
        const path = socketPath(vmRunDirectory(paths, id), name);
        expect(Buffer.byteLength(path)).toBeLessThan(socketPathLimit);
      }
    }
  });
});

describe("socketPath", () => {
  it("refuses what is too long or leaves the directory", () => {
    expect(() => socketPath("/r", "s".repeat(200))).toThrow("cannot be");
    expect(() => socketPath("/r", "../s")).toThrow("cannot be");
  });
});
