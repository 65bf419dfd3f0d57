import { expect } from "vitest";
import { definePlugin, type Plugin, type VmRecord } from "@banger/core";
import {
  fakeDaemon,
  FakeHost,
  fakeOperation,
  fakePlugin,
  fakeThings,
  fakeVm,
  memoryLogger,
  type Fault,
  type MemoryLogger,
} from "@banger/core/testing";

type Daemon = ReturnType<typeof fakeDaemon>;

/** A fake host with two VMs that no test touches, one of them running, and the daemon of the moment. */
export class CrashWorld {
  readonly host = new FakeHost();
  readonly plugins: readonly Plugin[];
  /** does a plugin refuse every change of a live VM, as one in user networking refuses NAT? */
  refusesLiveChanges = false;
  #daemon: Daemon;
  #bystanders: readonly VmRecord[] = [];
  /** of all its daemons */
  readonly logger: MemoryLogger = memoryLogger();

  private constructor(more: readonly Plugin[]) {
    const one = fakePlugin(this.host, "one");
    const two = fakePlugin(this.host, "two", { opensEgress: true });
    this.plugins = [one, two, this.#strictPlugin(), ...more];
    this.#daemon = this.begin();
  }

  /** @param more plugins besides two that keep the rules */
  static async create(more: readonly Plugin[] = []): Promise<CrashWorld> {
    const world = new CrashWorld(more);
    const { vmService } = world.daemon;
    await vmService.launch({ name: "runner", nat: true }, fakeOperation());
    await world.#addSleeper();
    world.#bystanders = await vmService.list();
    return world;
  }

  #strictPlugin(): Plugin {
    return definePlugin({
      id: "strict",
      apply: (hooks) => {
        hooks.configChange.tapPromise("strict", async (_old, _new, context) => {
          if (this.refusesLiveChanges && context.live && !context.takingBack)
            throw new Error("not while it runs");
        });
      },
    });
  }

  /** A VM that has run, as if it had: thousands of worlds are made. */
  async #addSleeper(): Promise<void> {
    const plugins = this.plugins.map(({ id }) => id);
    const vm = fakeVm({
      name: "sleeper",
      state: "stopped",
      spec: { plugins },
      runtime: { driver: "fake", startedPlugins: plugins },
    });
    await this.host.vmStore.insert(vm.name, () => vm);
    for (const file of ownFiles(vm)) this.host.things.add(file);
  }

  get daemon(): Daemon {
    return this.#daemon;
  }

  /** The record of a VM, straight from the store. */
  async row(name: string): Promise<VmRecord | undefined> {
    return (await this.rows()).find((vm) => vm.name === name);
  }

  /** All records but the bystanders'. */
  async rows(): Promise<readonly VmRecord[]> {
    const own = new Set(this.#bystanders.map(({ id }) => id));
    return (await this.host.vmStore.list()).filter(({ id }) => !own.has(id));
  }

  lives({ id }: VmRecord): boolean {
    return this.host.things.has(fakeThings.process(id));
  }

  hasDisk({ id }: VmRecord): boolean {
    return this.host.things.has(fakeThings.rootDisk(id));
  }

  /** A new daemon in place of the one before, which may still run. */
  begin(): Daemon {
    const { host, plugins, logger } = this;
    return (this.#daemon = fakeDaemon(host, { plugins, logger }));
  }

  /** Kills the daemon, if that has not happened; a new one begins and reconciles. */
  async succeed(): Promise<void> {
    this.host.killDaemons();
    this.host.calls.expect();
    await this.begin().vmService.reconcile(fakeOperation());
  }

  /** @returns whether the kill came before the end of the work */
  async killedAt(fault: Fault, work: () => Promise<unknown>): Promise<boolean> {
    this.host.calls.expect(fault);
    const killed = this.host.calls.killed.then(() => true);
    const outcome = await Promise.race([killed, work().then(() => false)]);
    this.host.killDaemons();
    return outcome;
  }

  /** Records and things agree, no mark of an operation is left, the bystanders are as they were. */
  async expectSettled(): Promise<void> {
    const vms = await this.host.vmStore.list();
    const things = new Set(this.host.inventory());
    for (const vm of vms) {
      const { runtime, state, name } = vm;
      expect([name, state === "running"]).toEqual([name, this.lives(vm)]);
      const marks = [
        runtime.provisional && "provisional",
        runtime.deleting && "deleting",
        runtime.changing && "changing",
        state !== "running" && runtime.prepared && "prepared",
      ].filter(Boolean);
      expect([name, ...marks]).toEqual([name]);
      for (const thing of this.#needed(vm)) {
        expect([...things]).toContain(thing);
        things.delete(thing);
      }
      for (const thing of this.#kept(vm)) things.delete(thing);
    }
    expect([...things]).toEqual([]);
    for (const before of this.#bystanders) {
      const after = vms.find(({ id }) => id === before.id);
      expect(after).toMatchObject(identity(before));
      expect(this.hasDisk(before)).toBe(true);
    }
  }

  /** Every VM can be started, stopped and deleted, and then nothing is left. One whose deletion was begun can only be deleted. */
  async expectUsable(): Promise<void> {
    const { vmService } = this.daemon;
    for (const { id, runtime } of await vmService.list()) {
      if (runtime.deleting) continue;
      expect((await vmService.start(id, fakeOperation())).state).toBe(
        "running",
      );
      expect((await vmService.stop(id, {}, fakeOperation())).state).toBe(
        "stopped",
      );
    }
    await this.expectDeletable();
  }

  async expectDeletable(): Promise<void> {
    const { vmService } = this.daemon;
    for (const { id } of await vmService.list())
      await vmService.delete(id, fakeOperation());
    expect(this.host.inventory()).toEqual([]);
    expect(await vmService.list()).toEqual([]);
  }

  /** What a running VM consists of. */
  #needed(vm: VmRecord): readonly string[] {
    if (vm.state !== "running") return [];
    const { id } = vm;
    return [
      ...ownFiles(vm),
      fakeThings.runDirectory(id),
      fakeThings.bootFile(id),
      fakeThings.vmmSocket(id),
      fakeThings.handles(id),
      fakeThings.process(id),
      fakeThings.network(id),
      fakeThings.ofPlugin("one", id),
      fakeThings.ofPlugin("two", id),
      ...(vm.spec.nat ? [fakeThings.egress("two", id)] : []),
    ];
  }

  /** What may be there besides: its own data, and the connection to a running one. */
  #kept(vm: VmRecord): readonly string[] {
    return vm.state === "running"
      ? [
          fakeThings.connection(vm.id),
          fakeThings.loop(vm.id),
          fakeThings.jail(vm.id),
        ]
      : ownFiles(vm);
  }
}

/** What nothing but its owner changes of a VM. */
export function identity(vm: VmRecord): Partial<VmRecord> {
  const { id, name, state, spec, createdAt } = vm;
  return { id, name, state, spec, createdAt };
}

function ownFiles({ id }: VmRecord): readonly string[] {
  return [fakeThings.directory(id), fakeThings.rootDisk(id)];
}
