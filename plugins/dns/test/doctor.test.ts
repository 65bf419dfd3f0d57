import {
  CommandFailedError,
  ToolMissingError,
  type Command,
  type CommandRunner,
  type Endpoint,
} from "@banger/core";
import { describe, expect, it } from "vitest";
import { checkListen, checkResolver } from "../src/doctor.js";
import { DnsPortBusyError } from "../src/errors.js";
import { routesZone } from "../src/resolved-status.js";

const listen = { host: "127.0.0.1", port: 42_069 };
const { signal } = new AbortController();

/** Programs by their command line; one that is not listed is not installed. */
function programs(
  outputs: Readonly<Record<string, string | Error>>,
  ran: Command[] = [],
): CommandRunner {
  return {
    run: async (command) => {
      ran.push(command);
      const output = outputs[[command.file, ...command.args].join(" ")];
      if (output === undefined) throw new ToolMissingError(command.file);
      if (output instanceof Error) throw output;
      return { exitCode: 0, stdout: output, stderr: "" };
    },
    find: async (program) =>
      Object.keys(outputs).some((line) => line.split(" ")[0] === program)
        ? `/usr/bin/${program}`
        : undefined,
  };
}

function server(state: {
  listening?: Endpoint;
  published?: Record<string, string>;
  problem?: DnsPortBusyError;
}) {
  return {
    listen,
    listening: state.listening,
    endpoints: state.listening ? [state.listening] : [],
    published: new Map(Object.entries(state.published ?? {})),
    probe: async () => state.problem,
  };
}

const running = server({
  listening: listen,
  published: { "web.vm": "172.16.0.2" },
});
const idle = server({});
const failed = new CommandFailedError(
  { file: "getent", args: [] },
  "ended with status 2",
  { exitCode: 2, stderr: "" },
);

describe("dns.listen", () => {
  it("passes when it listens", async () => {
    expect(await checkListen(running)).toMatchObject({
      id: "dns.listen",
      status: "pass",
      detail: "listening on 127.0.0.1:42069 (UDP and TCP), 1 name published",
    });
  });

  it("passes when the port is free", async () => {
    expect(await checkListen(idle)).toMatchObject({
      id: "dns.listen",
      status: "pass",
    });
  });

  it("warns with a way out when the port is taken", async () => {
    const problem = new DnsPortBusyError(listen);
    expect(await checkListen(server({ problem }))).toMatchObject({
      id: "dns.listen",
      status: "warn",
      fix: expect.stringContaining("ss -ulpn 'sport = :42069'") as string,
    });
  });
});

describe("dns.resolver", () => {
  const routed = {
    "resolvectl dns":
      "Global: 127.0.0.1:42069\nLink 2 (eth0): 192.168.1.1 192.168.1.2\n",
    "resolvectl domain": "Global: ~vm\nLink 2 (eth0): lan\n",
  };
  const unrouted = {
    "resolvectl dns": "Global:\nLink 2 (eth0): 192.168.1.1\n",
    "resolvectl domain": "Global:\nLink 2 (eth0): ~.\n",
  };

  it("passes when the host's resolver knows a published name, whatever it is", async () => {
    const ran: Command[] = [];
    const commands = programs(
      {
        "getent ahostsv4 web.vm":
          "172.16.0.2      STREAM web.vm\n172.16.0.2      DGRAM\n",
      },
      ran,
    );
    const check = await checkResolver(running, commands, signal);
    expect(check).toMatchObject({ id: "dns.resolver", status: "pass" });
    expect(check.fix).toBeUndefined();
    expect(ran).toHaveLength(1);
    expect(ran[0]).toMatchObject({ signal });
    expect(ran[0]!.timeoutMs).toBeLessThan(5_000);
  });

  it("is not content with another address", async () => {
    const commands = programs({
      "getent ahostsv4 web.vm": "172.16.0.22     STREAM web.vm\n",
    });
    const check = await checkResolver(running, commands, signal);
    expect(check.status).toBe("warn");
  });

  it("passes when nothing is published and systemd-resolved has the route", async () => {
    const check = await checkResolver(idle, programs(routed), signal);
    expect(check.status).toBe("pass");
  });

  it("warns when the route is there and yet names are not found", async () => {
    const commands = programs({ ...routed, "getent ahostsv4 web.vm": failed });
    const check = await checkResolver(running, commands, signal);
    expect(check).toMatchObject({
      status: "warn",
      fix: expect.stringContaining("nsswitch") as string,
    });
  });

  it.each([
    ["has no route", unrouted],
    [
      "does not answer",
      { "resolvectl dns": failed, "resolvectl domain": failed },
    ],
  ])("warns with the recipe when systemd-resolved %s", async (_, outputs) => {
    const check = await checkResolver(idle, programs(outputs), signal);
    expect(check.status).toBe("warn");
    expect(check.fix).toContain("DNS=127.0.0.1:42069\\nDomains=~vm");
    expect(check.fix?.split("\n")).toHaveLength(1);
  });

  it("warns and says how to ask by hand where there is no systemd-resolved", async () => {
    const withName = await checkResolver(running, programs({}), signal);
    expect(withName).toMatchObject({
      status: "warn",
      fix: expect.stringContaining("dig @127.0.0.1 -p 42069 web.vm") as string,
    });
    const without = await checkResolver(idle, programs({}), signal);
    expect(without.fix).toContain("dig @127.0.0.1 -p 42069 NAME.vm");
  });

  it("speaks of loopback when the server listens on every address", async () => {
    const all = { ...idle, listen: { host: "0.0.0.0", port: 42_069 } };
    const check = await checkResolver(all, programs(routed), signal);
    expect(check.status).toBe("pass");
  });

  it("does not hide what it did not expect", async () => {
    const commands = programs({ "resolvectl dns": new Error("bug") });
    await expect(checkResolver(idle, commands, signal)).rejects.toThrow("bug");
  });
});

describe("the status of systemd-resolved", () => {
  it.each([
    ["Link 3 (br-fc): 127.0.0.1:42069", "Link 3 (br-fc): ~vm", true],
    ["Link 3 (br-fc): 127.0.0.1:42069%3#x", "Link 3 (br-fc): vm", true],
    ["Global: 1.1.1.1 127.0.0.1:42069", "Global: ~lan ~vm", true],
    ["Link 3 (br-fc): 127.0.0.1:42069", "Link 2 (eth0): ~vm", false],
    ["Global: 127.0.0.1:4206", "Global: ~vm", false],
    ["Global: 127.0.0.1:42069", "Global: ~vmware", false],
    ["Global: 127.0.0.1:42069", "", false],
    ["", "", false],
    ["garbage ~vm 127.0.0.1:42069", "garbage ~vm", false],
  ])("of %j and %j is %s", (dns, domain, expected) => {
    expect(routesZone(dns, domain, listen)).toBe(expected);
  });
});
