import type { HostCradle } from "../container.js";
import type { VmRecord } from "../model/vm.js";
import { FakeCommandRunner } from "./fake-command-runner.js";
import { FakeGuestAgent, FakeGuestSsh } from "./fake-guest.js";
import { FakeHostState, fakeThings } from "./fake-host-state.js";
import { FakeImageStore } from "./fake-image-store.js";
import { FakeNetwork } from "./fake-network.js";
import {
  fakeGuestBoot,
  FakeHandleStore,
  fakeRootDisks,
  FakeVmFiles,
} from "./fake-vm-files.js";
import { FakeVmStore } from "./fake-vm-store.js";
import { fakeVmmDrivers, FakeVmm } from "./fake-vmm.js";
import { fakeGuestKeys, fakeHostFacts } from "./fixtures.js";

/**
 * A whole host in memory: every contract is a fake, every call of one is counted and may be told to fail, and what the calls made
 * can be listed. It outlives its daemons.
 */
export class FakeHost extends FakeHostState implements HostCradle {
  readonly commands = new FakeCommandRunner(this.calls);
  readonly vmm = new FakeVmm(this);
  readonly vmmDrivers = fakeVmmDrivers(this.vmm, this);
  readonly guestAgent = new FakeGuestAgent(this, this.vmm);
  readonly guestSsh = new FakeGuestSsh(this);
  readonly guestBoot = fakeGuestBoot(this);
  readonly guestKeys = fakeGuestKeys(this.calls);
  readonly handleStore = new FakeHandleStore(this);
  readonly hostFacts = fakeHostFacts();
  readonly imageStore = new FakeImageStore(this.calls);
  readonly network = new FakeNetwork({ calls: this.calls });
  readonly rootDisks = fakeRootDisks(this);
  readonly vmFiles = new FakeVmFiles(this);
  readonly vmStore: FakeVmStore;

  /** @param vms records that are there already */
  constructor(vms: readonly VmRecord[] = []) {
    super();
    this.vmStore = new FakeVmStore(vms, this.calls);
  }

  /** What exists, sorted; nothing when no VM has left a trace. */
  inventory(): readonly string[] {
    const networks = [...this.network.prepared].map(fakeThings.network);
    return [...this.things, ...networks].sort();
  }

  /** What the kernel takes from a daemon that dies: its connections. */
  loseDaemon(): void {
    for (const thing of this.things)
      if (thing.startsWith("connection ")) this.things.delete(thing);
  }
}
