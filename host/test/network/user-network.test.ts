import { createServer, isIPv4, type AddressInfo } from "node:net";
import { fakeVm, fakeVmId } from "@banger/core/testing";
import { expect, it } from "vitest";
import { UserNetwork } from "../../src/network/user-network.js";

it("gives every lease an address of its own in 127.77/16", () => {
  const network = new UserNetwork({ lowestPort: 1024 });
  const seen = new Set<string>();
  for (let lease = 1; lease <= 60_000; lease++) {
    const { guestIp, ssh } = network.addresses(lease);
    if (
      !isIPv4(guestIp) ||
      !guestIp.startsWith("127.77.") ||
      ssh.host !== guestIp
    )
      throw new Error(`lease ${String(lease)}: ${guestIp}`);
    seen.add(guestIp);
  }
  expect(seen.size).toBe(60_000);
});

it.each([
  [0, 22],
  [22, 22],
  [23, 2222],
  [1024, 2222],
  [Number.NaN, 2222],
])("with %j as the lowest port it takes SSH's port %j", (lowestPort, port) => {
  expect(new UserNetwork({ lowestPort }).addresses(1).ssh.port).toBe(port);
});

it("forwards the VM's own endpoint to the guest's SSH", () => {
  const network = new UserNetwork({ lowestPort: 1024 });
  const vm = fakeVm({
    id: fakeVmId(0xabcdef),
    runtime: network.addresses(300),
  });
  expect(network.nic(vm)).toEqual({
    mac: "02:00:00:00:ab:cd",
    backend: {
      kind: "user",
      forwards: [{ host: "127.77.1.44", hostPort: 2222, guestPort: 22 }],
    },
  });
  expect(network.guestNetwork()).toEqual({
    address: "10.0.2.15/24",
    gateway: "10.0.2.2",
    nameservers: ["10.0.2.3"],
  });
});

it("gives two installs different addresses, all of them in 127.77/16", () => {
  const other = new UserNetwork({ lowestPort: 1024, offset: 65_000 });
  const seen = new Set<string>();
  for (let lease = 1; lease <= 60_000; lease++) {
    const { guestIp } = other.addresses(lease);
    if (!isIPv4(guestIp) || !guestIp.startsWith("127.77."))
      throw new Error(`lease ${String(lease)}: ${guestIp}`);
    seen.add(guestIp);
  }
  expect(seen.size).toBe(60_000);
});

it("finds out that the address is in use, and keeps a free one free", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => {
    taken.listen(0, "127.0.0.1", resolve);
  });
  const { port } = taken.address() as AddressInfo;
  const network = new UserNetwork({ lowestPort: 1024 });
  const vm = fakeVm({ runtime: { ssh: { host: "127.0.0.1", port } } });
  await expect(network.prepare(vm)).rejects.toMatchObject({
    code: "ERR_ADDRESS_BUSY",
    kind: "conflict",
  });
  await new Promise((resolve) => taken.close(resolve));
  await network.prepare(vm);
  await network.prepare(vm);
  await network.remove();
  expect(network.liveEgress()).toBe(false);
});
