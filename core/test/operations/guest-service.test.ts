import { describe, expect, it, vi } from "vitest";
import { GuestConnectionError, PortUnavailableError } from "@banger/core";
import {
  endedProcess,
  fakeDaemon,
  FakeHost,
  fakeOperation,
} from "@banger/core/testing";

const never = new AbortController().signal;

async function bench() {
  const host = new FakeHost();
  const { vmService, guestService } = fakeDaemon(host);
  const vm = await vmService.launch({ name: "web" }, fakeOperation());
  host.hostResolver.names.set("web.vm", vm.runtime.guestIp);
  const stop = () => vmService.stop("web", {}, fakeOperation());
  const start = () => vmService.start("web", fakeOperation());
  const kept = async () => (await vmService.get("web")).runtime.forwards;
  const keep = (port: number, guestPort = port) =>
    guestService.forward("web", { port, guestPort }, true, fakeOperation());
  return { host, vm, vmService, guestService, stop, start, kept, keep };
}
const code = (expected: string) => ({ code: expected });

describe("ping", () => {
  it("times a guest that runs", async () => {
    const { guestService, stop } = await bench();
    expect(await guestService.ping("web", never)).toBe(1);
    await stop();
    await expect(guestService.ping("web", never)).rejects.toMatchObject(
      code("ERR_VM_STATE"),
    );
  });
});

describe("a process run through the agent", () => {
  it("is one of a guest that runs", async () => {
    const { host, guestService, stop } = await bench();
    const run = () => guestService.execByAgent("web", { argv: ["id"] }, never);
    expect(await run()).toMatchObject({ exit: { exitCode: 0 } });
    expect(host.calls.log).toContain("guestAgent.exec");
    await stop();
    await expect(run()).rejects.toMatchObject(code("ERR_VM_STATE"));
  });
});

describe("health", () => {
  const failing = async (
    service: Awaited<ReturnType<typeof bench>>["guestService"],
  ): Promise<readonly string[]> => {
    const { healthy, checks } = await service.health("web", never);
    const failed = checks.filter(({ status }) => status === "fail");
    expect(healthy).toBe(failed.length === 0);
    expect(failed.every(({ fix }) => fix?.startsWith("banger vm "))).toBe(true);
    return failed.map(({ id }) => id);
  };

  it("looks at process, agent, clock, SSH, record and published ports", async () => {
    const { guestService } = await bench();
    const { healthy, checks } = await guestService.health("web", never);
    expect(healthy).toBe(true);
    expect(checks.map(({ id }) => id)).toEqual([
      "vm.state",
      "vm.vmm",
      "vm.agent",
      "vm.clock",
      "vm.ssh",
      "vm.record",
      "vm.forwards",
    ]);
  });

  it.each([
    [1_900, "pass", "within 1.9 s of the host's", undefined],
    [-2_100, "warn", "2.1 s behind the host's", "date -s @"],
    [7_200_000, "warn", "7200.0 s ahead of the host's", "date -s @"],
  ])(
    "says how far the clock is off: %d ms",
    async (ms, status, detail, fix) => {
      const { host, guestService } = await bench();
      host.guestAgent.clockOffsetMs = ms;
      const { healthy, checks } = await guestService.health("web", never);
      expect(healthy).toBe(true);
      const clock = checks.find(({ id }) => id === "vm.clock");
      expect(clock).toMatchObject({ status, detail });
      if (fix === undefined) expect(clock?.fix).toBeUndefined();
      else expect(clock?.fix).toContain(fix);
    },
  );

  it("does not call a guest ill that says no time", async () => {
    const { host, guestService } = await bench();
    host.guestAgent.clockOffset = () =>
      Promise.reject(new GuestConnectionError("web", "no such command"));
    const { healthy, checks } = await guestService.health("web", never);
    expect(healthy).toBe(true);
    expect(checks.find(({ id }) => id === "vm.clock")).toMatchObject({
      status: "warn",
      fix: "banger vm logs web",
    });
  });

  it("says of one that does not run just that", async () => {
    const { guestService, stop } = await bench();
    await stop();
    const { healthy, checks } = await guestService.health("web", never);
    expect(healthy).toBe(false);
    expect(checks).toMatchObject([
      { id: "vm.state", detail: "stopped", fix: "banger vm start web" },
    ]);
  });

  it("fails by what is wrong", async () => {
    const { host, guestService, vmService, vm, keep } = await bench();
    await keep(8080);
    host.guestAgent.ping = () =>
      Promise.reject(new GuestConnectionError("web", "no agent"));
    expect(await failing(guestService)).toEqual(["vm.agent"]);
    host.guestSsh.exec = () =>
      Promise.resolve({
        ...endedProcess(),
        exit: Promise.resolve({ exitCode: 127 }),
      });
    await host.portForwards.closeAll(vm);
    await host.vmStore.update(vm.id, ({ runtime }) => ({
      runtime: { ...runtime, problems: ["no name"] },
    }));
    vi.spyOn(host.vmm, "find").mockResolvedValue(undefined);
    expect(await failing(guestService)).toEqual([
      "vm.vmm",
      "vm.agent",
      "vm.ssh",
      "vm.record",
      "vm.forwards",
    ]);
    expect((await vmService.get("web")).state).toBe("running");
  });

  it("waits for a guest that hangs no longer than its limits", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const { host, guestService } = await bench();
      const hang = () => new Promise<never>(() => undefined);
      host.guestAgent.ping = hang;
      host.guestAgent.clockOffset = hang;
      host.guestSsh.exec = hang;
      const looking = failing(guestService);
      await vi.advanceTimersByTimeAsync(21_000);
      expect(await looking).toEqual(["vm.agent", "vm.ssh"]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("refusals", () => {
  it("are of a guest that runs, with what is in force", async () => {
    const { host, vm, guestService, stop } = await bench();
    expect(await guestService.refusals("web", never)).toEqual({
      egress: { kind: "closed", recorded: false },
      refusals: [],
    });
    const refusal = {
      at: "2026-01-02T03:04:05.000Z",
      protocol: "udp",
      address: "192.0.2.7",
      port: 53,
      count: 1,
    } as const;
    host.guestEgress.policy = {
      mayResolve: () => false,
      resolved: () => Promise.resolve(),
      inForce: ({ id }) =>
        id === vm.id
          ? { kind: "open", recorded: true }
          : { kind: "closed", recorded: true },
      refusals: () => Promise.resolve([refusal]),
    };
    expect(await guestService.refusals("web", never)).toEqual({
      egress: { kind: "open", recorded: true },
      refusals: [refusal],
    });
    await stop();
    await expect(guestService.refusals("web", never)).rejects.toMatchObject(
      code("ERR_VM_STATE"),
    );
    await expect(guestService.refusals("nosuch", never)).rejects.toMatchObject(
      code("ERR_VM_NOT_FOUND"),
    );
  });
});

describe("ports", () => {
  const endpoints = async ({
    guestService,
  }: Awaited<ReturnType<typeof bench>>): Promise<
    readonly (string | undefined)[]
  > => (await guestService.ports("web", never)).map(({ endpoint }) => endpoint);

  it("have the endpoints that lead to them", async () => {
    const world = await bench();
    world.host.guestPorts.listening = [
      { protocol: "tcp", address: "0.0.0.0", port: 22, process: "sshd" },
      { protocol: "tcp", address: "::", port: 80, scheme: "http" },
      { protocol: "tcp", address: "::", port: 81 },
    ];
    await world.keep(8080, 80);
    expect(await endpoints(world)).toEqual([
      "web.vm:22",
      "http://web.vm:8080",
      undefined,
    ]);
    world.host.network.isDirect = true;
    expect(await endpoints(world)).toEqual([
      "web.vm:22",
      "http://web.vm:80",
      "web.vm:81",
    ]);
  });

  it("are at an address where the host does not know the name, or another place by it", async () => {
    const world = await bench();
    const { names } = world.host.hostResolver;
    names.set("web.vm", "192.0.2.1");
    expect(await endpoints(world)).toEqual(["127.77.0.1:22"]);
    names.clear();
    expect(await endpoints(world)).toEqual(["127.77.0.1:22"]);
    expect((await world.keep(8080)).endpoint).toBe("127.77.0.1:8080");
  });
});

describe("a kept forward", () => {
  it("is in the record and listens, also after a stop and a start", async () => {
    const { host, vm, guestService, kept, keep, stop, start } = await bench();
    const forward = { address: "127.77.0.1", port: 8080, guestPort: 80 };
    expect(await keep(8080, 80)).toEqual({
      ...forward,
      endpoint: "web.vm:8080",
    });
    expect(await kept()).toEqual([forward]);
    expect(host.portForwards.listening(vm)).toEqual([forward]);
    await stop();
    expect(host.portForwards.listening(vm)).toEqual([]);
    await start();
    expect(host.portForwards.listening(vm)).toEqual([forward]);
    await guestService.unforward("web", 8080, never);
    expect(await kept()).toBeUndefined();
    expect(host.portForwards.listening(vm)).toEqual([]);
    await expect(
      guestService.unforward("web", 8080, never),
    ).rejects.toMatchObject(code("ERR_PORT_NOT_FORWARDED"));
  });

  it("of a stopped VM waits for its start", async () => {
    const { host, vm, kept, keep, stop, start } = await bench();
    await stop();
    await keep(8080);
    expect(host.portForwards.listening(vm)).toEqual([]);
    expect(await kept()).toHaveLength(1);
    await start();
    expect(host.portForwards.listening(vm)).toHaveLength(1);
  });

  it("is recorded before it listens, and taken back when it cannot", async () => {
    const { host, kept, keep } = await bench();
    await keep(8080);
    const open = vi.spyOn(host.portForwards, "open");
    let recorded: unknown;
    open.mockImplementation(async () => {
      recorded = await kept();
      throw new PortUnavailableError("127.77.0.1", 8081, "busy");
    });
    await expect(keep(8081)).rejects.toMatchObject(
      code("ERR_PORT_UNAVAILABLE"),
    );
    expect(recorded).toHaveLength(2);
    expect(await kept()).toMatchObject([{ port: 8080 }]);
  });

  it("is the only one from its port", async () => {
    const { kept, keep, guestService } = await bench();
    await keep(8080);
    const again = { port: 8080, guestPort: 90, address: "127.0.0.1" };
    for (const isKept of [true, false])
      await expect(
        guestService.forward("web", again, isKept, fakeOperation()),
      ).rejects.toMatchObject(code("ERR_PORT_FORWARDED"));
    expect(await kept()).toHaveLength(1);
  });

  it("is one of a hundred at most", async () => {
    const { keep } = await bench();
    for (let port = 1; port <= 100; port++) await keep(port);
    await expect(keep(101)).rejects.toMatchObject(code("ERR_INVALID_VALUE"));
  });
});

describe("a forward that is not kept", () => {
  it("listens until its owner leaves, and says where", async () => {
    const { host, vm, guestService, kept } = await bench();
    const owner = new AbortController();
    const operation = fakeOperation(owner.signal);
    const request = { port: 8080, guestPort: 80 };
    const held = guestService.forward("web", request, false, operation);
    await vi.waitFor(() =>
      expect(operation.stages).toEqual(["forward: web.vm:8080"]),
    );
    expect(host.portForwards.listening(vm)).toMatchObject([request]);
    expect(await kept()).toBeUndefined();
    owner.abort();
    await expect(held).rejects.toMatchObject(code("ERR_CANCELLED"));
    expect(host.portForwards.listening(vm)).toEqual([]);
  });

  it("ends with the VM, which does not wait for it, and by its removal", async () => {
    const { guestService, stop, start } = await bench();
    const hold = async (): Promise<{ readonly held: Promise<unknown> }> => {
      const operation = fakeOperation();
      const request = { port: 8080, guestPort: 80 };
      const held = guestService.forward("web", request, false, operation);
      held.catch(() => undefined);
      await vi.waitFor(() => expect(operation.stages).toHaveLength(1));
      return { held };
    };
    const first = await hold();
    await stop();
    await expect(first.held).rejects.toMatchObject(code("ERR_VM_STATE"));
    await start();
    const second = await hold();
    await guestService.unforward("web", 8080, never);
    await expect(second.held).rejects.toMatchObject(code("ERR_VM_STATE"));
  });

  it("needs a VM that runs", async () => {
    const { guestService, stop } = await bench();
    await stop();
    const request = { port: 8080, guestPort: 80 };
    await expect(
      guestService.forward("web", request, false, fakeOperation()),
    ).rejects.toMatchObject(code("ERR_VM_STATE"));
  });
});

describe("stats", () => {
  it("are of now, of a VM that runs", async () => {
    const { guestService, stop, host, vm } = await bench();
    expect(await guestService.stats("web", never)).toMatchObject({
      residentBytes: host.vmm.used.residentBytes,
    });
    vi.spyOn(host.vmm, "find").mockResolvedValueOnce(undefined);
    await expect(guestService.stats(vm.id, never)).rejects.toMatchObject(
      code("ERR_VM_STATE"),
    );
    await stop();
    await expect(guestService.stats("web", never)).rejects.toMatchObject(
      code("ERR_VM_STATE"),
    );
  });
});
