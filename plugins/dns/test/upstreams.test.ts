import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Endpoint } from "@banger/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { leadsTo, parseUpstream, Upstreams } from "../src/upstreams.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-upstreams-"));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(directory, { recursive: true });
});

const nobody = (): boolean => false;
const resolvConf = (): string => join(directory, "resolv.conf");
const write = async (text: string): Promise<void> => {
  await writeFile(`${resolvConf()}.new`, text);
  await rename(`${resolvConf()}.new`, resolvConf());
};
const hosts = async (upstreams: Upstreams): Promise<readonly string[]> =>
  (await upstreams.list()).map(({ host }) => host);

describe("an upstream in the configuration", () => {
  it.each([
    ["192.0.2.1", { host: "192.0.2.1", port: 53 }],
    ["127.0.0.1:5353", { host: "127.0.0.1", port: 5353 }],
  ])("%s is read", (text, expected) => {
    expect(parseUpstream(text)).toEqual(expected);
  });

  it.each([
    "",
    "localhost",
    "192.0.2.1:0",
    "192.0.2.1:65536",
    "192.0.2.256",
    "0.0.0.0",
    "224.0.0.251",
    "255.255.255.255",
    "::1",
    "192.0.2.1:53 ",
  ])("%j is refused", (text) => {
    expect(() => parseUpstream(text)).toThrow("no address of a name server");
  });
});

describe("the host's name servers", () => {
  const upstreams = (isOurs: (endpoint: Endpoint) => boolean = nobody) =>
    new Upstreams({
      configured: [],
      isOurs,
      files: [resolvConf(), join(directory, "second.conf")],
    });

  it("are those of the first file that has one, three at most", async () => {
    await writeFile(
      join(directory, "second.conf"),
      "# comment\nnameserver 192.0.2.1\nnameserver 127.0.0.53\n nameserver 2001:db8::1 # six\nnameserver 192.0.2.4\n",
    );
    await write("search lan\nnameserver nonsense\nnameserver 0.0.0.0\n");
    expect(await hosts(upstreams())).toEqual([
      "192.0.2.1",
      "127.0.0.53",
      "2001:db8::1",
    ]);
    await write("nameserver 192.0.2.9\n");
    expect(await hosts(upstreams())).toEqual(["192.0.2.9"]);
  });

  it("are none without files", async () => {
    expect(await hosts(upstreams())).toEqual([]);
  });

  it("are read again when the file has changed", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    await write("nameserver 192.0.2.1\n");
    const list = upstreams();
    expect(await hosts(list)).toEqual(["192.0.2.1"]);
    await write("nameserver 192.0.2.22\n");
    expect(await hosts(list)).toEqual(["192.0.2.1"]);
    vi.advanceTimersByTime(1_001);
    expect(await hosts(list)).toEqual(["192.0.2.22"]);
    await rm(resolvConf());
    vi.advanceTimersByTime(1_001);
    expect(await hosts(list)).toEqual([]);
  });

  it("are not asked where the configuration names others", async () => {
    await write("nameserver 192.0.2.1\n");
    const configured = [parseUpstream("192.0.2.5:5353")];
    const list = new Upstreams({
      configured,
      isOurs: nobody,
      files: [resolvConf()],
    });
    expect(await list.list()).toEqual(configured);
  });

  it("do not lead back here", async () => {
    await write("nameserver 127.0.0.1\nnameserver 192.0.2.1\n");
    expect(await hosts(upstreams(({ host }) => host === "127.0.0.1"))).toEqual([
      "192.0.2.1",
    ]);
  });
});

describe("an endpoint leads here", () => {
  const any = { host: "0.0.0.0", port: 53 };
  it.each([
    [{ host: "127.0.0.1", port: 53 }, { host: "127.0.0.1", port: 53 }, true],
    [{ host: "127.0.0.1", port: 54 }, { host: "127.0.0.1", port: 53 }, false],
    [{ host: "127.0.0.2", port: 53 }, { host: "127.0.0.1", port: 53 }, false],
    [{ host: "127.0.0.2", port: 53 }, any, true],
    [{ host: "192.0.2.1", port: 53 }, any, false],
    [{ host: "127.0.0.1", port: 54 }, any, false],
  ])("%j at %j: %s", (endpoint, listening, expected) => {
    expect(leadsTo(endpoint, listening)).toBe(expected);
  });
});
