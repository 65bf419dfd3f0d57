import { OperationRegistry, type VmId, type VmRecord } from "@banger/core";
import { fakeVm, fakeVmId, memoryLogger } from "@banger/core/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StaleStopper } from "../../src/daemon/stale-stopper.js";

const hour = 3_600_000;
const day = 24 * hour;
const midnight = Date.parse("2026-01-02T00:00:00Z");

class Bench {
  readonly logger = memoryLogger();
  readonly operations = new OperationRegistry({ logger: this.logger });
  readonly sessions = new Map<VmId, number>();
  readonly stopped: string[] = [];
  vms: VmRecord[];
  clock = { monotonic: 5_000, wall: midnight, sinceBoot: 100 * day };
  /** what a stop does before it has the VM's lock */
  waiting: () => Promise<void> = () => Promise.resolve();
  stopper: StaleStopper;
  readonly #staleAfterMs: number;

  constructor(staleAfterMs: number, ...vms: VmRecord[]) {
    this.vms = vms;
    this.#staleAfterMs = staleAfterMs;
    this.stopper = this.#daemon();
  }

  beginDaemon(): void {
    this.stopper = this.#daemon();
  }

  #daemon(): StaleStopper {
    return new StaleStopper({
      vmService: {
        list: () => Promise.resolve(this.vms),
        stop: async (id, _options, { signal }) => {
          await this.waiting();
          signal.throwIfAborted();
          this.stopped.push(id);
          return this.#change(id as VmId, { state: "stopped" });
        },
      },
      operations: this.operations,
      logger: this.logger,
      sessionsOf: (id) => this.sessions.get(id) ?? 0,
      staleAfterMs: this.#staleAfterMs,
      clocks: {
        monotonic: () => this.clock.monotonic,
        wall: () => this.clock.wall,
        sinceBoot: () => this.clock.sinceBoot,
      },
    });
  }

  /** Time passes for every clock, and the VMs are looked at. */
  async after(ms: number): Promise<readonly string[]> {
    this.clock.monotonic += ms;
    this.clock.wall += ms;
    this.clock.sinceBoot += ms;
    await this.stopper.check();
    return this.stopped;
  }

  setWallClock(byMs: number): void {
    this.clock.wall += byMs;
  }

  touch(id: VmId): void {
    const now = new Date(this.clock.wall).toISOString();
    const vm = this.vms.find((one) => one.id === id);
    if (vm) this.#change(id, { runtime: { ...vm.runtime, lastUsedAt: now } });
  }

  #change(id: VmId, changes: Partial<VmRecord>): VmRecord {
    const vm = { ...fakeVm({ id }), ...changes };
    this.vms = this.vms.map((one) =>
      one.id === id ? { ...one, ...changes } : one,
    );
    return vm;
  }
}

const [one, two] = [fakeVmId(1), fakeVmId(2)];

/** A running VM that was last used so long before midnight. */
function running(id: VmId, idleMs = 0, spec = {}): VmRecord {
  const lastUsedAt = new Date(midnight - idleMs).toISOString();
  const name = `vm-${String(Number(id))}`;
  return fakeVm({ id, name, state: "running", runtime: { lastUsedAt }, spec });
}

describe("a VM that is not used", () => {
  it("is stopped after the time, and only it", async () => {
    const bench = new Bench(day, running(one), running(two));
    expect(await bench.after(hour)).toEqual([]);
    bench.touch(two);
    expect(await bench.after(0)).toEqual([]);
    expect(await bench.after(22 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
    expect(await bench.after(hour)).toEqual([one, two]);
    expect(bench.operations.list()).toMatchObject([
      { what: "stop vm-1, which nobody uses", vm: one, state: "done" },
      { vm: two, state: "done" },
    ]);
  });

  it("counts the time before the daemon, but is watched for a while first", async () => {
    const bench = new Bench(day, running(one, 40 * day), running(two, hour));
    expect(await bench.after(59 * 60_000)).toEqual([]);
    expect(await bench.after(60_000)).toEqual([one]);
    expect(await bench.after(21 * hour)).toEqual([one]);
    expect(await bench.after(hour)).toEqual([one, two]);
  });

  it("is watched for half of a short time", async () => {
    const bench = new Bench(60_000, running(one, day));
    expect(await bench.after(29_000)).toEqual([]);
    expect(await bench.after(1_000)).toEqual([one]);
  });

  it("was not used before the daemon when its record does not say", async () => {
    const bench = new Bench(day, fakeVm({ id: one, state: "running" }));
    expect(await bench.after(23 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
  });

  it("counts from its start when it was started since", async () => {
    const bench = new Bench(day);
    expect(await bench.after(10 * day)).toEqual([]);
    bench.vms = [running(one, 0)];
    bench.touch(one);
    expect(await bench.after(60_000)).toEqual([]);
    expect(await bench.after(23 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
  });

  it("is left alone when it does not run or goes with its last session", async () => {
    const stopped = { ...running(one, 40 * day), state: "stopped" as const };
    const ephemeral = running(two, 40 * day, { ephemeral: true });
    const bench = new Bench(hour, stopped, ephemeral);
    expect(await bench.after(10 * day)).toEqual([]);
  });
});

describe("the wall clock", () => {
  it("may jump forward", async () => {
    const bench = new Bench(day, running(one, hour), running(two));
    await bench.after(hour);
    bench.touch(two);
    bench.setWallClock(365 * day);
    expect(await bench.after(hour)).toEqual([]);
    expect(await bench.after(20 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
    bench.touch(two);
    expect(await bench.after(hour)).toEqual([one]);
  });

  it("may jump back", async () => {
    const bench = new Bench(day, running(one), running(two));
    await bench.after(hour);
    bench.setWallClock(-365 * day);
    bench.touch(two);
    expect(await bench.after(0)).toEqual([]);
    expect(await bench.after(22 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
    expect(await bench.after(hour)).toEqual([one, two]);
  });

  it("may be far ahead when the daemon begins, and be set right then", async () => {
    const bench = new Bench(day, running(one));
    bench.setWallClock(365 * day);
    bench.beginDaemon();
    bench.setWallClock(-365 * day);
    expect(await bench.after(2 * hour)).toEqual([]);
    expect(await bench.after(21 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
  });

  it("may be behind when the daemon begins", async () => {
    const bench = new Bench(day, running(one, -10 * day));
    expect(await bench.after(23 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
  });

  it("cannot say that a VM was idle before the host booted", async () => {
    const bench = new Bench(day, running(one, 40 * day));
    bench.clock.sinceBoot = 2 * hour;
    bench.beginDaemon();
    expect(await bench.after(21 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
  });
});

describe("a session", () => {
  it("keeps its VM, and its end counts as use", async () => {
    const bench = new Bench(day, running(one));
    bench.sessions.set(one, 1);
    bench.stopper.used(one);
    expect(await bench.after(3 * day)).toEqual([]);
    bench.sessions.clear();
    bench.stopper.used(one);
    bench.touch(one);
    expect(await bench.after(23 * hour)).toEqual([]);
    // The touch was seen a look later than it was made.
    expect(await bench.after(day)).toEqual([one]);
  });

  it("counts also when its record could not be written", async () => {
    const bench = new Bench(day, running(one));
    await bench.after(12 * hour);
    bench.stopper.used(one);
    expect(await bench.after(23 * hour)).toEqual([]);
    expect(await bench.after(hour)).toEqual([one]);
  });

  it("that begins while the stop waits for the VM's lock wins", async () => {
    const bench = new Bench(day, running(one));
    await bench.after(hour);
    bench.waiting = () => {
      bench.sessions.set(one, 1);
      bench.stopper.used(one);
      return Promise.resolve();
    };
    expect(await bench.after(day)).toEqual([]);
    expect(bench.operations.list()).toMatchObject([{ state: "cancelled" }]);
    bench.sessions.clear();
    expect(await bench.after(23 * hour)).toEqual([]);
  });

  it("that begins while another VM is stopped wins", async () => {
    const bench = new Bench(day, running(one), running(two));
    await bench.after(hour);
    bench.waiting = () => {
      bench.sessions.set(two, 1);
      return Promise.resolve();
    };
    expect(await bench.after(day)).toEqual([one]);
  });
});

it("leaves a VM alone that an operation is about", async () => {
  const bench = new Bench(day, running(one));
  await bench.after(hour);
  let end = (): void => undefined;
  const restart = bench.operations.run(
    "restart vm-1",
    { vm: "vm" },
    () => new Promise<void>((resolve) => (end = resolve)),
  );
  expect(await bench.after(2 * day)).toEqual([]);
  end();
  await restart;
  expect(await bench.after(23 * hour)).toEqual([]);
  expect(await bench.after(hour)).toEqual([one]);
});

it("tries again after as long a time when a stop failed", async () => {
  const bench = new Bench(day, running(one));
  await bench.after(hour);
  bench.waiting = () => Promise.reject(new Error("no"));
  expect(await bench.after(day)).toEqual([]);
  bench.waiting = () => Promise.resolve();
  expect(await bench.after(23 * hour)).toEqual([]);
  expect(await bench.after(hour)).toEqual([one]);
});

describe("start and close", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("looks now and then, until it is closed", async () => {
    const bench = new Bench(day, running(one));
    bench.stopper.start();
    await vi.advanceTimersByTimeAsync(60_000);
    bench.clock.monotonic += 2 * day;
    await vi.advanceTimersByTimeAsync(59_999);
    expect(bench.stopped).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(bench.stopped).toEqual([one]);
    await bench.stopper.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("gives up a stop that has not begun", async () => {
    const bench = new Bench(60_000, running(one, day));
    let goOn = (): void => undefined;
    bench.waiting = () => new Promise<void>((resolve) => (goOn = resolve));
    bench.stopper.start();
    bench.clock.monotonic += day;
    await vi.advanceTimersByTimeAsync(6_000);
    const closing = bench.stopper.close();
    goOn();
    await closing;
    expect(bench.stopped).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
