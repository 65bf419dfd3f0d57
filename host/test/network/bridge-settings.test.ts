import { expect, it } from "vitest";
import { parseBridgeSettings } from "../../src/network/bridge-settings.js";

it("reads the defaults", () => {
  expect(parseBridgeSettings("br-fc", "172.16.0.1/24")).toEqual({
    name: "br-fc",
    address: "172.16.0.1",
    subnet: { first: 0xac100000, prefix: 24 },
    guests: 253,
  });
});

it.each([
  ["br-fc-a", "10.0.0.1/8"],
  ["br-fc-123456789", "192.168.7.1/24"],
  ["br-fc", "100.64.0.1/10"],
  ["br-fc", "172.31.255.253/30"],
])("takes %s with %s", (name, address) => {
  expect(parseBridgeSettings(name, address).name).toBe(name);
});

it.each([
  ["br-fc-1234567890", "172.16.0.1/24", "name"],
  ["br0", "172.16.0.1/24", "name"],
  ["br-fc-", "172.16.0.1/24", "name"],
  ["br-fc.1", "172.16.0.1/24", "name"],
  ["br-fc", "172.16.0.1", "prefix"],
  ["br-fc", "172.16.0.1/31", "prefix"],
  ["br-fc", "10.0.0.1/7", "prefix"],
  ["br-fc", "8.8.8.1/24", "not private"],
  ["br-fc", "127.0.0.1/24", "not private"],
  ["br-fc", "172.16.0.1/11", "not private"],
  ["br-fc", "172.16.0.2/24", "172.16.0.1"],
  ["br-fc", "172.16.0.0/24", "172.16.0.1"],
  ["br-fc", "fd00::1/64", "no IPv4"],
])("refuses %s with %s", (name, address, message) => {
  let thrown: unknown;
  try {
    parseBridgeSettings(name, address);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({
    code: "ERR_INVALID_VALUE",
    message: expect.stringContaining(message) as string,
  });
});
