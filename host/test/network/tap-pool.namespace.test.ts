import {
  ToolMissingError,
  type Command,
  type CommandResult,
} from "@banger/core";
import { fakeInstall, FakePrivileged } from "@banger/core/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  removeBridges,
  removeBridgeTraces,
} from "../../src/network/bridge-traces.js";
import {
  makeBridge,
  vmOf,
  type BridgeOptions,
  type BridgeUnderTest,
} from "./make-bridge-network.js";
import { NetworkNamespace, namespacesWork } from "./network-namespace.js";

const signal = new AbortController().signal;
const works = await namespacesWork("nft", "sysctl");
if (!works)
  console.warn(
    "The pool of TAP devices was NOT tested for real: root, iproute2, procps and nftables are needed.",
  );

interface Link {
  readonly ifname: string;
  readonly address: string;
  readonly flags: readonly string[];
  readonly ifalias?: string;
  readonly master?: string;
  readonly linkinfo?: {
    readonly info_data?: { readonly user?: string | number };
  };
}

/** ms; each command enters a namespace */
const timeout = 60_000;

describe.runIf(works)("in a network namespace", { timeout }, () => {
  let host: NetworkNamespace;
  let daemons: BridgeUnderTest[] = [];
  beforeEach(async () => {
    host = await NetworkNamespace.make();
  });
  afterEach(async () => {
    for (const { pool } of daemons) await pool.stop();
    daemons = [];
    await host.remove();
  });

  const daemon = (options: BridgeOptions = {}): BridgeUnderTest => {
    const made = makeBridge(host, { ownerUid: 64123, ...options });
    daemons.push(made);
    return made;
  };
  /** The same as a daemon that ends without warning: it does nothing any more. */
  const kill = (dead: BridgeUnderTest): void => {
    daemons = daemons.filter((other) => other !== dead);
  };
  const links = async (): Promise<readonly Link[]> =>
    JSON.parse(await host.sh("ip -json -details link show")) as Link[];
  const taps = async (): Promise<readonly string[]> =>
    (await links())
      .map(({ ifname }) => ifname)
      .filter((name) => name.startsWith("tap-"))
      .sort();
  const link = async (name = ""): Promise<Link | undefined> =>
    (await links()).find(({ ifname }) => ifname === name);
  /** Waits until nothing more happens in the background. */
  const warm = async ({ pool }: BridgeUnderTest): Promise<void> => {
    await vi.waitFor(
      () => {
        expect(pool.state.idle).toBe(pool.state.size);
      },
      { timeout: 30_000, interval: 20 },
    );
  };
  const poolNames = (first: number, count: number): readonly string[] =>
    Array.from(
      { length: count },
      (_, index) => `tap-pool-${String(first + index)}`,
    ).sort();

  it("makes idle devices of the owner's, behind those that another install has", async () => {
    const other = daemon({ tag: "fedc9876", poolSize: 3 });
    await other.pool.start([]);
    await warm(other);
    const mine = daemon({ poolSize: 18 });
    await mine.pool.start([]);
    await warm(mine);
    expect(await taps()).toEqual([
      ...[...poolNames(0, 3), ...poolNames(3, 18)].sort(),
    ]);
    for (const { ifname, ...device } of await links()) {
      if (ifname === "lo") continue;
      expect(device.flags).not.toContain("UP");
      expect(device.master).toBeUndefined();
      expect(device.linkinfo?.info_data?.user).toBe(64123);
      expect(device.ifalias).toBe(
        Number(ifname.slice(9)) < 3
          ? "banger-pool-fedc9876"
          : "banger-pool-0123abcd",
      );
    }
    await mine.pool.stop();
    expect(await taps()).toEqual(poolNames(0, 3));
  });

  /** The host's commands, of which those that make a device can be made to fail. */
  const breakable = () => {
    const state = { isBroken: false };
    const run = (command: Command): Promise<CommandResult> =>
      state.isBroken && String(command.input).includes("tuntap")
        ? Promise.reject(new ToolMissingError("ip"))
        : host.run(command);
    return { state, run, find: (program: string) => host.find(program) };
  };

  it("gives one to a VM and makes another", async () => {
    const mine = daemon({ poolSize: 2 });
    const { network, pool } = mine;
    await pool.start([]);
    await warm(mine);
    const { tapDevice } = network.names(vmOf(network));
    expect(tapDevice).toBe("tap-pool-0");
    const vm = vmOf(network, 1, tapDevice);
    await network.prepare(vm, signal);
    expect(await link(tapDevice)).toMatchObject({
      ifalias: `banger-${vm.id}`,
      master: "br-fc",
      flags: expect.arrayContaining(["UP"]) as string[],
    });
    expect(await host.sh("nft list tables netdev")).toContain(tapDevice);
    await warm(mine);
    expect(await taps()).toEqual(poolNames(0, 3));
  });

  it("takes a VM's device back as new while there is room", async () => {
    const commands = breakable();
    const mine = makeBridge(commands, { ownerUid: 64123, poolSize: 2 });
    daemons.push(mine);
    const { network, pool } = mine;
    await pool.start([]);
    await warm(mine);
    commands.state.isBroken = true;
    const { tapDevice } = network.names(vmOf(network));
    const vm = vmOf(network, 1, tapDevice);
    await network.prepare(vm, signal);
    const before = (await link(tapDevice))?.address;
    await network.remove(vm);
    const after = await link(tapDevice);
    expect(after?.ifalias).toBe("banger-pool-0123abcd");
    expect(after?.master).toBeUndefined();
    expect(after?.flags).not.toContain("UP");
    expect(after?.address).not.toBe(before);
    expect(await host.sh("nft list ruleset")).toBe("");
    expect(pool.state.idle).toBe(2);
    // Its next VM has it with a guard of its own.
    const names = [2, 3].map(
      (lease) => network.names(vmOf(network, lease)).tapDevice,
    );
    expect(names).toEqual(["tap-pool-1", "tap-pool-0"]);
    await network.prepare(vmOf(network, 3, "tap-pool-0"), signal);
    const guards = await host.sh("nft list ruleset netdev");
    expect(guards).toContain("172.16.0.4");
    expect(guards).not.toContain("172.16.0.2");
  });

  it("deletes a VM's device when the pool is full, and one that somebody has changed is made anew", async () => {
    const mine = daemon({ poolSize: 1 });
    const { network, pool } = mine;
    await pool.start([]);
    await warm(mine);
    const vm = vmOf(network, 1, network.names(vmOf(network)).tapDevice);
    await warm(mine);
    await host.sh("ip link delete tap-pool-0");
    await network.prepare(vm, signal);
    expect((await link("tap-pool-0"))?.linkinfo?.info_data?.user).toBe(64123);
    await network.remove(vm);
    expect(await taps()).toEqual(["tap-pool-1"]);
    await network.remove(vm);
    expect(await taps()).toEqual(["tap-pool-1"]);
  });

  it("gives every VM of many that start at once a device of its own", async () => {
    const mine = daemon({ poolSize: 3 });
    const { network, pool } = mine;
    await pool.start([]);
    await warm(mine);
    const vms = Array.from({ length: 6 }, (_, index) => {
      const vm = vmOf(network, index + 1);
      return vmOf(network, index + 1, network.names(vm).tapDevice);
    });
    const names = vms.map(({ runtime }) => runtime.tapDevice);
    expect(new Set(names).size).toBe(6);
    expect(names.slice(0, 3)).toEqual(poolNames(0, 3));
    await Promise.all(vms.map((vm) => network.prepare(vm, signal)));
    for (const { id, runtime } of vms)
      expect((await link(runtime.tapDevice))?.ifalias).toBe(`banger-${id}`);
    await Promise.all(vms.map((vm) => network.remove(vm)));
    await warm(mine);
    await pool.stop();
    expect(await taps()).toEqual([]);
  });

  it("is found by the next daemon, which leaves a VM its device whatever the start had come to", async () => {
    const first = daemon({ poolSize: 4 });
    await first.pool.start([]);
    await warm(first);
    const nameOf = (lease: number) => {
      const vm = vmOf(first.network, lease);
      return vmOf(first.network, lease, first.network.names(vm).tapDevice);
    };
    const [running, starting] = [nameOf(1), nameOf(2)];
    await first.network.prepare(running, signal);
    await warm(first);
    await host.sh("ip tuntap add dev tap-pool-40 mode tap user 64123");
    await host.sh("ip tuntap add dev tap-pool-41 mode tap user 65534");
    kill(first);
    const next = daemon({ poolSize: 2 });
    await next.pool.start([running, starting]);
    await vi.waitFor(async () => {
      // Two of them, those of the VMs, and what is not ours.
      expect((await taps()).length).toBe(5);
    }, 30_000);
    expect(next.pool.state.idle).toBe(2);
    expect(await taps()).toEqual(
      expect.arrayContaining(["tap-pool-0", "tap-pool-1", "tap-pool-41"]),
    );
    const third = next.network.names(vmOf(next.network, 3)).tapDevice;
    expect(["tap-pool-0", "tap-pool-1"]).not.toContain(third);
    expect(next.network.names(starting)).toEqual({ tapDevice: "tap-pool-1" });
    await next.network.remove(starting);
    await next.network.remove(running);
    await next.pool.stop();
    expect(await taps()).toEqual(["tap-pool-41"]);
  });

  it("never gives a VM's device to another when an old record names it still", async () => {
    const mine = daemon({ poolSize: 1 });
    const { network, pool } = mine;
    await pool.start([]);
    await warm(mine);
    const old = vmOf(network, 1, "tap-pool-0");
    expect(network.names(vmOf(network, 1))).toEqual({
      tapDevice: "tap-pool-0",
    });
    await network.remove(old);
    expect(network.names(vmOf(network, 2))).toEqual({
      tapDevice: "tap-pool-0",
    });
    const fresh = vmOf(network, 2, "tap-pool-0");
    await network.remove(old);
    await network.prepare(fresh, signal);
    await network.remove(old);
    expect(await link("tap-pool-0")).toMatchObject({
      ifalias: `banger-${fresh.id}`,
      master: "br-fc",
    });
    expect(await host.sh("nft list tables netdev")).toContain("tap-pool-0");
    await expect(network.prepare(old, signal)).rejects.toMatchObject({
      code: "ERR_NETWORK_CONFLICT",
    });
    expect(network.names(old)).not.toEqual({ tapDevice: "tap-pool-0" });
  });

  it("says once that no device can be made, and tries again when the next VM starts", async () => {
    const commands = breakable();
    commands.state.isBroken = true;
    const { network, pool, logger } = makeBridge(commands, { poolSize: 2 });
    await pool.start([]);
    await vi.waitFor(() => {
      expect(pool.state.problem).toContain("not installed");
    }, 30_000);
    expect(logger.entries.filter(({ level }) => level === "warn")).toHaveLength(
      1,
    );
    expect(await network.check()).toMatchObject({
      status: "warn",
      detail: expect.stringMatching(/0 of 2 .*not installed/) as string,
    });
    commands.state.isBroken = false;
    expect(network.names(vmOf(network))).toEqual({
      tapDevice: "tap-fc-abcdef02",
    });
    await vi.waitFor(() => {
      expect(pool.state).toEqual({ idle: 2, size: 2 });
    }, 30_000);
    await pool.stop();
    expect(await taps()).toEqual([]);
  });

  it("leaves nothing of an install that is removed, and everything of others", async () => {
    const other = daemon({
      ...{ tag: "fedc9876", poolSize: 2 },
      ...{ bridge: "br-fc-two", address: "10.9.0.1/24" },
    });
    await other.pool.start([]);
    await warm(other);
    const kept = vmOf(
      other.network,
      1,
      other.network.names(vmOf(other.network)).tapDevice,
    );
    await other.network.prepare(kept, signal);
    await warm(other);
    await host.sh("ip link add br-fc-alien type bridge");
    const before = [
      await host.sh("ip -json link show"),
      await host.sh("nft list ruleset"),
    ];
    const mine = daemon({ poolSize: 2 });
    await mine.pool.start([]);
    await warm(mine);
    const vm = vmOf(mine.network, 2, "tap-fc-abcdef03");
    await mine.network.prepare(vm, signal);
    const remove = () =>
      new FakePrivileged(
        host,
        fakeInstall({ tag: "0123abcd", owner: { uid: 64123, gid: 64123 } }),
      ).request(removeBridges, {}, signal);
    kill(mine);
    expect(await remove()).toEqual({ removed: [], kept: ["br-fc"] });
    expect(await host.sh("nft list tables inet")).toContain("banger-br-fc\n");
    // As if the VM's device had gone with somebody's `ip link delete`.
    await host.sh("ip link delete tap-fc-abcdef03");
    expect(await remove()).toEqual({ removed: ["br-fc"], kept: [] });
    expect(await remove()).toEqual({ removed: [], kept: [] });
    expect([
      await host.sh("ip -json link show"),
      await host.sh("nft list ruleset"),
    ]).toEqual(before);
  });

  it("has no traces where there is no ip", async () => {
    const commands = {
      find: () => Promise.resolve(undefined),
      run: () => Promise.reject(new Error("nothing runs")),
    };
    const install = fakeInstall();
    expect(await removeBridgeTraces({ install, commands })).toEqual({
      ...{ removed: [], kept: [] },
    });
  });
});
