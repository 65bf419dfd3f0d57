import { FakeCommandRunner, FakePrivileged } from "@banger/core/testing";
import { expect, it } from "vitest";
import { bridgeCheck } from "../../src/network/bridge-check.js";
import { parseBridgeSettings } from "../../src/network/bridge-settings.js";

/** A host with the programs, on which nothing is made yet. */
function look(kind: "helper" | "in-process", tunDevice: string) {
  const commands = new FakeCommandRunner();
  for (const program of ["ip", "sysctl", "nft"]) commands.install(program);
  const privileged = new FakePrivileged(commands);
  privileged.kind = kind;
  return bridgeCheck({
    ...{ commands, privileged, tunDevice },
    settings: parseBridgeSettings("br-fc", "172.16.0.1/24"),
    isolate: false,
    install: { tag: "00c0ffee" },
    poolState: { idle: 0, size: 0 },
    nameservers: [],
    vms: () => Promise.resolve([]),
  });
}

it("fails where the daemon's user may not open TAP devices", async () => {
  expect(await look("helper", "/nonexistent/tun")).toMatchObject({
    status: "fail",
    detail: expect.stringContaining(
      "this user may not open /dev/net/tun",
    ) as string,
    fix: "sudo modprobe tun; sudo chmod 666 /dev/net/tun",
  });
});

it.each([
  ["helper", "/dev/null"],
  ["in-process", "/nonexistent/tun"],
] as const)("looks further for %s and %s", async (kind, device) => {
  // The fake host's `ip` says nothing, which the next step does not take.
  await expect(look(kind, device)).rejects.toThrow();
});
