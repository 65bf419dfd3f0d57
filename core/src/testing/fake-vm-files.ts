import type { GuestBoot } from "../contracts/guest-boot.js";
import type { HandleStore } from "../contracts/handle-store.js";
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

  ensure(vm: VmRecord): Promise<void> {
    return this.#host.calls.call("make the directories", async () => {
      this.#host.things.add(fakeThings.directory(vm.id));
      this.#host.things.add(fakeThings.runDirectory(vm.id));
    });
  }

  removeRun(vm: VmRecord): Promise<void> {
    return this.#host.calls.call("remove the sockets", async () => {
      this.#host.removeBelow(fakeThings.runDirectory(vm.id));
    });
  }

  removeAll(vm: VmRecord): Promise<void> {
    return this.#host.calls.call("remove the directories", async () => {
      this.#host.removeBelow(fakeThings.runDirectory(vm.id));
      this.#host.removeBelow(fakeThings.directory(vm.id));
    });
  }

  async consoleTail(_vm: VmRecord, lines: number): Promise<readonly string[]> {
    return this.console.slice(-lines);
  }

  async freeBytes(): Promise<number> {
    return 2 ** 40;
  }
}

/** A {@link HandleStore} whose file is a name; `forget` loses it, as a crash before its writing does. */
export class FakeHandleStore implements HandleStore {
  readonly #host: FakeHostState;
  readonly #handles = new Map<VmId, VmHandles>();

  constructor(host: FakeHostState) {
    this.#host = host;
  }

  async read(vm: VmRecord): Promise<VmHandles | undefined> {
    return this.#handles.get(vm.id);
  }

  write(vm: VmRecord, handles: VmHandles): Promise<void> {
    return this.#host.calls.call("write the handles", async () => {
      this.#handles.set(vm.id, handles);
      this.#host.things.add(fakeThings.handles(vm.id));
    });
  }

  clear(vm: VmRecord): Promise<void> {
    return this.#host.calls.call("clear the handles", async () =>
      this.forget(vm.id),
    );
  }

  forget(id: VmId): void {
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
    ensure: (vm, _image, signal) =>
      host.calls.call(
        "make the root disk",
        async () => void host.things.add(fakeThings.rootDisk(vm.id)),
        undefined,
        signal,
      ),
  };
}

export function fakeGuestBoot(host: FakeHostState): GuestBoot {
  return {
    write: (vm, _image, _guest, _machine, signal) =>
      host.calls.call(
        "write the boot file",
        async () => {
          host.things.add(fakeThings.bootFile(vm.id));
          return `${vm.runtime.runDirectory}/initrd`;
        },
        undefined,
        signal,
      ),
  };
}
