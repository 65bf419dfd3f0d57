import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Endpoint } from "@banger/core";
import { output, programsWork, startDnsmasq } from "./programs.js";
import { forwarding } from "./upstream-bench.js";

vi.setConfig({ testTimeout: 60_000 });

const works = await programsWork("dig", "kdig", "dnsperf", "dnsmasq");

/** More addresses than a datagram holds. */
const addresses = Array.from(
  { length: 120 },
  (_, n) => `198.51.100.${String(n + 1)}`,
);

describe.runIf(works)("real clients", () => {
  let at: Endpoint;
  const undo: (() => unknown)[] = [];

  beforeAll(async () => {
    const dnsmasq = await startDnsmasq(
      "--local=/example/",
      "--host-record=www.example,192.0.2.80",
      "--cname=alias.example,www.example",
      "--txt-record=text.example,hello world",
      "--mx-host=example,mail.example,10",
      ...addresses.map((ip) => `--host-record=many.example,${ip}`),
      "--local-ttl=60",
    );
    undo.push(dnsmasq.end);
    const server = await forwarding([dnsmasq.at], {
      guests: { perSecond: 10_000, burst: 10_000 },
    });
    undo.push(() => server.close());
    at = server.at;
  });
  afterAll(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  const file = async (content: string): Promise<string> => {
    const directory = await mkdtemp(join(tmpdir(), "banger-dnsperf-"));
    undo.push(() => rm(directory, { recursive: true }));
    const path = join(directory, "questions");
    await writeFile(path, content);
    return path;
  };
  const dig = (...args: readonly string[]): Promise<string> =>
    output("dig", [
      "+time=5",
      "+tries=1",
      `@${at.host}`,
      "-p",
      String(at.port),
      ...args,
    ]);
  const kdig = (...args: readonly string[]): Promise<string> =>
    output("kdig", [
      "+time=5",
      "+retry=0",
      `@${at.host}`,
      "-p",
      String(at.port),
      ...args,
    ]);

  it.each([
    [
      "an address",
      ["web.vm", "A"],
      /NOERROR[^]*flags: qr aa rd[ ;][^]*web\.vm\.\s+5\s+IN\s+A\s+172\.16\.0\.2/,
    ],
    [
      "no IPv6 address",
      ["web.vm", "AAAA"],
      /NOERROR[^]*ANSWER: 0, AUTHORITY: 1[^]*vm\.\s+5\s+IN\s+SOA/,
    ],
    [
      "everything",
      ["web.vm", "ANY", "+notcp"],
      /NOERROR[^]*IN\s+A\s+172\.16\.0\.2/,
    ],
    [
      "the zone",
      ["vm", "SOA"],
      /NOERROR[^]*vm\.\s+5\s+IN\s+SOA\s+localhost\. nobody\.invalid\. \d+ 1200 180 1209600 5/,
    ],
    [
      "the zone's server",
      ["vm", "NS"],
      /NOERROR[^]*vm\.\s+5\s+IN\s+NS\s+localhost\./,
    ],
    [
      "an address's name",
      ["-x", "172.16.0.2"],
      /NOERROR[^]*2\.0\.16\.172\.in-addr\.arpa\.\s+5\s+IN\s+PTR\s+web\.vm\./,
    ],
    [
      "no such name",
      ["nobody.vm", "A"],
      /NXDOMAIN[^]*AUTHORITY: 1[^]*IN\s+SOA/,
    ],
    ["nothing below a name", ["a.web.vm", "A"], /NXDOMAIN/],
    [
      "a type without a name",
      ["web.vm", "TYPE65399"],
      /NOERROR[^]*ANSWER: 0, AUTHORITY: 1/,
    ],
    ["another class", ["web.vm", "A", "-c", "HS"], /REFUSED/],
    ["what runs here", ["version.bind", "TXT", "-c", "CH"], /REFUSED/],
    ["all names", ["vm", "AXFR"], /Transfer failed|REFUSED/],
    ["a later EDNS", ["web.vm", "+edns=1", "+noednsneg"], /BADVERS/],
    [
      "small packets",
      ["web.vm", "+bufsize=512"],
      /NOERROR[^]*EDNS: version: 0, flags:; udp: 1232/,
    ],
    ["large packets", ["web.vm", "+bufsize=65535"], /NOERROR[^]*udp: 1232/],
    ["no EDNS", ["web.vm", "+noedns"], /NOERROR(?![^]*EDNS)[^]*172\.16\.0\.2/],
    [
      "a cookie",
      ["web.vm", "+cookie=0123456789abcdef"],
      /NOERROR(?![^]*COOKIE: [0-9a-f]{17})[^]*172\.16\.0\.2/,
    ],
    [
      "who answers",
      ["web.vm", "+nsid"],
      /NOERROR(?![^]*NSID)[^]*172\.16\.0\.2/,
    ],
    [
      "signatures",
      ["web.vm", "+dnssec"],
      /NOERROR[^]*flags: do; udp: 1232[^]*172\.16\.0\.2/,
    ],
    ["padding", ["web.vm", "+ednsopt=12:0000"], /NOERROR[^]*172\.16\.0\.2/],
    [
      "in any case",
      ["wEb.Vm", "A"],
      /NOERROR[^]*\nwEb\.Vm\.\s+5\s+IN\s+A\s+172\.16\.0\.2/,
    ],
    ["over TCP", ["web.vm", "+tcp"], /NOERROR[^]*172\.16\.0\.2[^]*\(TCP\)/],
    ["as a notification", ["web.vm", "SOA", "+opcode=NOTIFY"], /NOTIMP/],
    ["as an update", ["web.vm", "SOA", "+opcode=UPDATE"], /NOTIMP/],
  ])("dig asks for %s", async (_, args, expected) => {
    const text = await dig(...args);
    expect(text).toMatch(expected);
    expect(text).not.toMatch(
      /malformed|mismatch|WARNING: (?!recursion|EDNS query returned)/i,
    );
  });

  it.each([
    [
      "another name",
      ["www.example"],
      /NOERROR[^]*flags: qr rd ra;[^]*www\.example\.\s+\d+\s+IN\s+A\s+192\.0\.2\.80/,
    ],
    [
      "an alias",
      ["alias.example"],
      /alias\.example\.\s+\d+\s+IN\s+CNAME\s+www\.example\.\nwww\.example\.\s+\d+\s+IN\s+A\s+192\.0\.2\.80/,
    ],
    ["text", ["text.example", "TXT"], /NOERROR[^]*"hello world"/],
    [
      "who takes mail",
      ["example", "MX"],
      /NOERROR[^]*example\.\s+\d+\s+IN\s+MX\s+10 mail\.example\./,
    ],
    ["nobody", ["nobody.example"], /NXDOMAIN/],
    [
      "in any case",
      ["wWw.eXample"],
      /\nwWw\.eXample\.\s+\d+\s+IN\s+A\s+192\.0\.2\.80/,
    ],
    ["signatures", ["www.example", "+dnssec"], /NOERROR[^]*192\.0\.2\.80/],
    ["everything", ["www.example", "ANY", "+notcp"], /REFUSED/],
    ["an IPv6 address", ["www.example", "AAAA"], /NOERROR[^]*ANSWER: 0/],
    ["without recursion", ["www.example", "+norecurse"], /REFUSED/],
  ])(
    "dig, as a guest, asks beyond the zone for %s",
    async (_, args, expected) => {
      expect(await dig(...args)).toMatch(expected);
    },
  );

  it("dig is told to come again over TCP, and gets all of it there", async () => {
    const short = await dig("many.example", "+ignore", "+bufsize=4096");
    expect(short).toMatch(/flags: qr tc rd ra;[^]*ANSWER: 0/);
    const whole = await dig("many.example", "+short");
    expect(whole.trim().split("\n").sort()).toEqual([...addresses].sort());
  });

  it("kdig asks many on one connection", async () => {
    const names = Array.from({ length: 40 }, (_, n) => [
      "www.example",
      "web.vm",
      n % 2 === 0 ? "nobody.vm" : "alias.example",
    ]).flat();
    const text = await kdig(
      "+tcp",
      "+keepopen",
      ...names.flatMap((name) => ["-q", name]),
    );
    expect(text.match(/status: NOERROR/g)).toHaveLength(100);
    expect(text.match(/status: NXDOMAIN/g)).toHaveLength(20);
    expect(text).not.toMatch(/WARNING|ERROR: /);
  });

  it.each([
    ["over UDP", ["+notcp"]],
    ["over TCP", ["+tcp"]],
    ["with EDNS", ["+edns=0", "+bufsize=1232"]],
    ["with padding", ["+padding=128"]],
  ])("kdig asks %s", async (_, args) => {
    const text = await kdig(...args, "web.vm");
    expect(text).toMatch(/status: NOERROR[^]*172\.16\.0\.2/);
    expect(text).not.toMatch(/WARNING/);
  });

  it.each([
    [
      "own names",
      "web.vm A\nnobody.vm A\nvm SOA\n2.0.16.172.in-addr.arpa PTR\n",
    ],
    [
      "forwarded names",
      "www.example A\nalias.example A\ntext.example TXT\nnobody.example A\n",
    ],
  ])("dnsperf loses nothing at a steady rate: %s", async (_, questions) => {
    const text = await output("dnsperf", [
      "-s",
      at.host,
      "-p",
      String(at.port),
      "-l",
      "4",
      "-Q",
      "400",
      "-c",
      "4",
      "-t",
      "5",
      "-d",
      await file(questions),
    ]);
    expect(text).toMatch(/Queries lost:\s+0 /);
    const [, completed = "0"] = /Queries completed:\s+(\d+)/.exec(text) ?? [];
    expect(Number(completed)).toBeGreaterThan(100);
    expect(text).not.toMatch(/SERVFAIL|REFUSED/);
  });
});
