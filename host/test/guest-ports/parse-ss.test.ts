import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSs } from "../../src/guest-ports/parse-ss.js";

// As Debian 12's ss writes it, with the widths that it takes without a terminal.
const sample = `udp   UNCONN 0      0         10.0.2.15%enp0s2:68        0.0.0.0:*    users:(("systemd-network",pid=210,fd=17))
udp   UNCONN 0      0                     [::1]:323         [::]:*
tcp   LISTEN 0      128                 0.0.0.0:22       0.0.0.0:*    users:(("sshd",pid=301,fd=3))
tcp   LISTEN 0      5                 127.0.0.1:8000     0.0.0.0:*    users:(("python3",pid=412,fd=3))
tcp   LISTEN 0      511               127.0.0.1:80       0.0.0.0:*    users:(("nginx",pid=9,fd=6),("nginx",pid=8,fd=6))
tcp   LISTEN 0      511                       *:3000           *:*    users:(("node",pid=500,fd=18))
tcp   LISTEN 0      128                    [::]:22          [::]:*    users:(("sshd",pid=301,fd=4))
tcp   LISTEN 0      128  [fe80::5054:ff:fe12:3456]%enp0s2:90 [::]:*
tcp   LISTEN 0      128      [::ffff:127.0.0.1]:91              *:*
`;

describe("ss", () => {
  it("gives each protocol and port once, under its widest address", () => {
    expect(parseSs(sample)).toEqual([
      {
        protocol: "tcp",
        address: "::",
        port: 22,
        process: "sshd",
      },
      { protocol: "tcp", address: "127.0.0.1", port: 80, process: "nginx" },
      { protocol: "tcp", address: "fe80::5054:ff:fe12:3456", port: 90 },
      { protocol: "tcp", address: "127.0.0.1", port: 91 },
      { protocol: "tcp", address: "::", port: 3000, process: "node" },
      { protocol: "tcp", address: "127.0.0.1", port: 8000, process: "python3" },
      {
        protocol: "udp",
        address: "10.0.2.15",
        port: 68,
        process: "systemd-network",
      },
      { protocol: "udp", address: "::1", port: 323 },
    ]);
  });

  it.each([
    ["spaces", "my web app", "my web app"],
    ["what ends a name", 'a",pid=x b', 'a",pid=x b'],
    ["control characters", "\u001b[31mred\u0007\u202e", "[31mred"],
    ["a line end that is none", "a\rb\u2028c", "abc"],
    ["too much", "x".repeat(500), "x".repeat(64)],
    ["nothing", "", undefined],
  ])("takes a process name with %s", (_what, name, shown) => {
    const line = `tcp LISTEN 0 5 0.0.0.0:80 0.0.0.0:* users:(("${name}",pid=1,fd=3))`;
    expect(parseSs(line)[0]?.process).toBe(shown);
  });

  it.each([
    "tcp   ESTAB  0 0 10.0.2.15:22 10.0.2.2:50000",
    "tcp   LISTEN 0 5 0.0.0.0:0 0.0.0.0:*",
    "tcp   LISTEN 0 5 0.0.0.0:70000 0.0.0.0:*",
    "tcp   LISTEN 0 5 300.0.0.1:80 0.0.0.0:*",
    "tcp   LISTEN 0 5 example.com:80 0.0.0.0:*",
    "tcp   LISTEN x 5 0.0.0.0:80 0.0.0.0:*",
    "u_str LISTEN 0 5 /run/x:80 *:*",
    "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port",
  ])("leaves out what is no listening socket: %s", (line) => {
    expect(parseSs(line)).toEqual([]);
  });
});

describe("hostile output", () => {
  it("is cut between characters, not through one", () => {
    const names = ["\u{10c80}", "\u{1f000}"].map((character) =>
      Array.from({ length: 64 }, (_, before) => {
        const name = `${"a".repeat(before)}${character.repeat(64)}`;
        const line = `tcp LISTEN 0 5 0.0.0.0:80 0.0.0.0:* users:(("${name}",pid=1,fd=3))`;
        return parseSs(line)[0]?.process ?? "";
      }),
    );
    for (const name of names.flat()) {
      expect(name).not.toBe("");
      expect(name).not.toMatch(/\p{C}/u);
    }
  });

  const isSafe = (output: string): void => {
    const seen = new Set<string>();
    for (const { protocol, address, port, process } of parseSs(output)) {
      expect(seen.has(`${protocol} ${port}`)).toBe(false);
      seen.add(`${protocol} ${port}`);
      expect(port).toBeGreaterThan(0);
      expect(port).toBeLessThan(65_536);
      expect(`${address}${process ?? "x"}`).not.toMatch(/\p{C}/u);
      expect(process).not.toBe("");
    }
  };

  it("never throws and gives nothing that steers a terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), isSafe),
    );
  });

  it("neither does ss's own output when it is changed", () => {
    const bytes = fc.string({ unit: "binary", maxLength: 12 });
    const at = fc.nat(sample.length);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(at, at, bytes), { maxLength: 8 }),
        (cuts) => {
          let text = sample;
          for (const [from, length, put] of cuts)
            text = text.slice(0, from) + put + text.slice(from + (length % 20));
          isSafe(text);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  // Whoever backtracks here does not end within the test's time limit.
  it("is read in time that grows with its length only", () => {
    isSafe(`tcp LISTEN 0 0 ${"a:1 ".repeat(60_000)}`);
    isSafe(`tcp LISTEN 0 0 0.0.0.0:1 x users:(("${'",pid=1'.repeat(30_000)}`);
    isSafe("tcp LISTEN 0 0 ".padEnd(250_000));
  });
});
