import type { GuestBoot } from "../contracts/guest-boot.js";
import type { HandleStore, SavedHandles } from "../contracts/handle-store.js";
import type { RootDisks } from "../contracts/root-disks.js";
import type { VmFiles } from "../contracts/vm-files.js";
import type { VmHandles, VmId, VmRecord } from "../model/vm.js";
import { fakeThings, type FakeHostState } from "./fake-host-state.js";

/** {@link VmFiles} whose files are names. */
export class FakeVmFiles implements VmFiles {
  /** what every guest's console says */
  console: readonly string[] = ["login:"];
  readonly #host: FakeHostState;

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  directories(id: VmId): { directory: string; runDirectory: string } {
    return {
      directory: `/nonexistent/${fakeThings.directory(id)}`,
      runDirectory: `/nonexistent/${fakeThings.runDirectory(id)}`,
    };
  }

  async ensure(vm: VmRecord): Promise<void> {
    this.#host.things.add(fakeThings.directory(vm.id));
    this.#host.things.add(fakeThings.runDirectory(vm.id));
  }

  async removeRun(vm: VmRecord): Promise<void> {
    this.#host.removeBelow(fakeThings.runDirectory(vm.id));
  }

  async removeAll(vm: VmRecord): Promise<void> {
    await this.removeRun(vm);
    this.#host.removeBelow(fakeThings.directory(vm.id));
  }

  async consoleTail(_vm: VmRecord, lines: number): Promise<readonly string[]> {
    return this.console.slice(-lines);
  }

  /** 4 KiB for everything that is there */
  async usedBytes(vm: VmRecord): Promise<number> {
    const directory = fakeThings.directory(vm.id);
    const own = [...this.#host.things].filter(
      (thing) => thing === directory || thing.startsWith(`${directory}/`),
    );
    return own.length * 4096;
  }

  async freeBytes(): Promise<number> {
    return 2 ** 40;
  }
}

/** A {@link HandleStore} whose file is a name; `forget` loses it, as a crash before its writing does; `corrupt` makes it unusable. */
export class FakeHandleStore implements HandleStore {
  readonly #host: FakeHostState;
  readonly #handles = new Map<VmId, VmHandles>();
  readonly #corrupt = new Set<VmId>();

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  async load(vm: VmRecord): Promise<SavedHandles> {
    if (this.#corrupt.has(vm.id)) return { problem: "it is no JSON" };
    const handles = this.#handles.get(vm.id);
    return handles ? { handles } : {};
  }

  async read(vm: VmRecord): Promise<VmHandles | undefined> {
    return this.#handles.get(vm.id);
  }

  async write(vm: VmRecord, handles: VmHandles): Promise<void> {
    this.#corrupt.delete(vm.id);
    this.#handles.set(vm.id, handles);
    this.#host.things.add(fakeThings.handles(vm.id));
  }

  async clear(vm: VmRecord): Promise<void> {
    this.forget(vm.id);
  }

  corrupt(id: VmId): void {
    this.#handles.delete(id);
    this.#corrupt.add(id);
  }

  forget(id: VmId): void {
    this.#corrupt.delete(id);
    this.#handles.delete(id);
    this.#host.things.delete(fakeThings.handles(id));
  }
}

/** {@link RootDisks} that keep a VM's disk until its directory goes. */
export function fakeRootDisks(host: FakeHostState): RootDisks {
  return {
    drive: (vm) => ({
      path: `${vm.runtime.directory}/root.qcow2`,
      format: "qcow2",
      readOnly: false,
    }),
    find: async (vm) =>
      host.things.has(fakeThings.rootDisk(vm.id)) ? "qcow2" : undefined,
    choose: async () => "qcow2",
    ensure: async (vm, _image, record) => {
      await record({ baseLoop: fakeThings.loop(vm.id) });
      host.things.add(fakeThings.loop(vm.id));
      host.things.add(fakeThings.rootDisk(vm.id));
    },
    release: async (vm) => {
      // By the record alone, as a host must that gave the number.
      const { baseLoop } = vm.runtime;
      if (baseLoop !== undefined) host.things.delete(baseLoop);
    },
  };
}

export function fakeGuestBoot(host: FakeHostState): GuestBoot {
  return {
    write: async (vm) => {
      host.things.add(fakeThings.bootFile(vm.id));
      return `${vm.runtime.runDirectory}/initrd`;
    },
  };
}
