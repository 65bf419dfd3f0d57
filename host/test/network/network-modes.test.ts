import { PrivilegeMissingError } from "@banger/core";
import { fakeVm, fakeVmId } from "@banger/core/testing";
import { FakeCommandRunner } from "@banger/core/testing";
import { expect, it } from "vitest";
import { InstalledNetworks } from "../../src/network/network-modes.js";
import { UserNetwork } from "../../src/network/user-network.js";
import { makeBridge } from "./make-bridge-network.js";

const signal = new AbortController().signal;
const user = new UserNetwork({ lowestPort: 1024 });
const { network: bridge, privileged } = makeBridge(new FakeCommandRunner());
privileged.missing = new PrivilegeMissingError("it needs root");
const networks = new InstalledNetworks("bridge", [user, bridge]);

const vmOf = (networkMode: string, guestIp = "172.16.0.2") =>
  fakeVm({ id: fakeVmId(0xabc), runtime: { networkMode, guestIp } });

it("gives new VMs the configured mode and keeps that of the others", () => {
  expect(networks.mode).toBe("bridge");
  expect(networks.addresses(1, fakeVmId(0xabc)).guestIp).toBe("172.16.0.2");
  const old = vmOf("user", "127.77.0.9");
  expect(networks.direct(old)).toBe(false);
  expect(networks.liveEgress(old)).toBe(false);
  expect(networks.nic(old).backend.kind).toBe("user");
  expect(networks.guestNetwork(old).gateway).toBe("10.0.2.2");
  expect(networks.publishAddress(old)).toBe("127.77.0.9");
  const fresh = vmOf("bridge");
  expect(networks.direct(fresh)).toBe(true);
  expect(networks.liveEgress(fresh)).toBe(true);
  expect(networks.nic(fresh).backend.kind).toBe("tap");
  expect(networks.guestNetwork(fresh).gateway).toBe("172.16.0.1");
  expect(networks.publishAddress(fresh)).toBe("127.78.0.2");
});

it("refuses a mode that it does not have, but removes what such a VM may have left", async () => {
  const unknown = vmOf("unknown");
  const error = { code: "ERR_NETWORK_MODE" };
  for (const ask of [
    "direct",
    "liveEgress",
    "nic",
    "guestNetwork",
    "publishAddress",
  ] as const)
    expect(() => networks[ask](unknown)).toThrow(
      expect.objectContaining(error),
    );
  await expect(networks.prepare(unknown, signal)).rejects.toMatchObject(error);
  await networks.remove(unknown);
});

it("must have the mode of new VMs", () => {
  expect(() => new InstalledNetworks("other", [user])).toThrow("other");
});

it("says what the configured mode needs", async () => {
  expect(await networks.check()).toMatchObject({
    id: "host.network",
    status: "fail",
    detail: expect.stringContaining("root") as string,
  });
  const plain = new InstalledNetworks("user", [user, bridge]);
  expect(await plain.check()).toMatchObject({ status: "pass" });
});
