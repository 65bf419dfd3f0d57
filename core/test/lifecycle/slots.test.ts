import { describe, expect, it } from "vitest";
import {
  guestDefaults,
  machineDefaults,
  PluginSet,
  composeHooks,
  definePlugin,
  type GuestConfig,
  type Hooks,
  type MachineConfig,
} from "@banger/core";
import {
  FakeNetwork,
  fakeImage,
  fakeOperation,
  fakeVm,
  FakeVmStore,
} from "@banger/core/testing";

const vm = fakeVm();
const network = new FakeNetwork();
const guest = (): GuestConfig =>
  guestDefaults({
    vm,
    network: network.guestNetwork(vm),
    authorizedKey: "key",
    hostKey: { privateKey: "private", publicKey: "public" },
  });
const machine = (): MachineConfig =>
  machineDefaults({
    vm,
    rootDrive: { path: "/root.qcow2", format: "qcow2", readOnly: false },
    nic: network.nic(vm),
    agent: { socketPath: "/agent.sock" },
  });

function setOf(taps: Record<string, (hooks: Hooks) => void>): PluginSet {
  const plugins = Object.entries(taps).map(([id, apply]) => ({
    plugin: definePlugin({ id, apply }),
    services: {},
  }));
  const ids = Object.keys(taps);
  return new PluginSet(ids, composeHooks(plugins, ids), new FakeVmStore([vm]));
}

const addFile =
  (id: string, path: string, content = id) =>
  (hooks: Hooks): void =>
    hooks.guestConfig.tap(id, (config) => ({
      ...config,
      files: {
        ...config.files,
        [path]: { kind: "file", content, mode: 0o644 },
      },
    }));

const runGuest = (set: PluginSet, initial = guest()) =>
  set.guestConfig(initial, vm, fakeImage(), fakeOperation());
const runMachine = (set: PluginSet) =>
  set.machineConfig(machine(), vm, fakeImage(), fakeOperation());

describe("slots of a configuration", () => {
  it("takes contributions of several plugins to one record", async () => {
    const set = setOf({
      one: addFile("one", "/etc/one"),
      two: addFile("two", "/etc/two"),
    });
    const { files } = await runGuest(set);
    expect(files).toMatchObject({
      "/etc/one": { content: "one" },
      "/etc/two": { content: "two" },
      "/etc/hostname": { content: "calm-otter\n" },
    });
  });

  it("names both plugins of a clash, also when they say the same", async () => {
    const clash = runGuest(
      setOf({
        one: addFile("one", "/etc/x", "same"),
        two: addFile("two", "/etc/x", "same"),
      }),
    );
    await expect(clash).rejects.toMatchObject({ code: "ERR_SLOT_CONFLICT" });
    await expect(clash).rejects.toThrow(
      "files /etc/x belongs to one; two wants it too",
    );
  });

  it("keeps what banger itself has set: slots and plain properties", async () => {
    await expect(
      runGuest(setOf({ one: addFile("one", "/etc/hostname") })),
    ).rejects.toThrow("belongs to banger; one wants it too");
    const more = setOf({
      big: (hooks) =>
        hooks.machineConfig.tap("big", (config) => ({
          ...config,
          memoryMiB: 99,
        })),
    });
    await expect(runMachine(more)).rejects.toMatchObject({
      code: "ERR_SLOT_CONFLICT",
    });
  });

  it("does not let a plugin drop what another added", async () => {
    const set = setOf({
      one: addFile("one", "/etc/x"),
      two: (hooks) =>
        hooks.guestConfig.tap("two", (config) => ({
          ...config,
          files: guest().files,
        })),
    });
    await expect(runGuest(set)).rejects.toMatchObject({
      code: "ERR_SLOT_CONFLICT",
      plugin: "two",
    });
  });

  it("has slots that are free again in the next call", async () => {
    const set = setOf({ one: addFile("one", "/etc/x") });
    await runGuest(set);
    await expect(runGuest(set)).resolves.toBeDefined();
  });

  it("takes a tap that returns nothing as one that changes nothing", async () => {
    const set = setOf({
      one: (hooks) => hooks.guestConfig.tap("one", () => undefined as never),
      two: addFile("two", "/etc/two"),
    });
    expect(Object.keys((await runGuest(set)).files)).toContain("/etc/two");
  });

  const writes: Record<string, (config: MachineConfig) => void> = {
    "a property": (config) => Object.assign(config, { vcpus: 9 }),
    "a record": (config) => Object.assign(config.drives, { work: {} }),
    "an item": (config) =>
      Object.assign(config.drives["root"] as object, { path: "/other" }),
    "something deep": (config) =>
      Object.assign(config.nics["net0"]!.backend, { kind: "tap" }),
  };
  it.each(Object.keys(writes))(
    "refuses a tap that writes to %s",
    async (to) => {
      const set = setOf({
        one: (hooks) =>
          hooks.machineConfig.tap("one", (config) => {
            writes[to]?.(config);
            return config;
          }),
      });
      await expect(runMachine(set)).rejects.toMatchObject({
        code: "ERR_PLUGIN_FAULT",
        plugin: "one",
        cause: expect.any(TypeError) as unknown,
      });
    },
  );

  it("shows a later plugin a frozen view of what an earlier one added, bytes included", async () => {
    const bytes = new Uint8Array([1, 2]);
    const set = setOf({
      one: (hooks) =>
        hooks.guestConfig.tap("one", (config) => ({
          ...config,
          files: {
            ...config.files,
            "/bin/x": { kind: "file", content: bytes, mode: 0o755 },
          },
        })),
      two: (hooks) =>
        hooks.guestConfig.tap("two", (config) => {
          Object.assign(config.files["/bin/x"] as object, { mode: 0 });
          return config;
        }),
    });
    await expect(runGuest(set)).rejects.toMatchObject({ plugin: "two" });
  });
});
