import type { HostCradle } from "../container.js";
import type { VmRecord } from "../model/vm.js";
import { FakeCommandRunner } from "./fake-command-runner.js";
import { FakeGuestAgent, FakeGuestSsh } from "./fake-guest.js";
import { FakeGuestEgress } from "./fake-guest-egress.js";
import { FakeHostResolver } from "./fake-host-resolver.js";
import { FakeHostState, fakeThings } from "./fake-host-state.js";
import { FakeImageStore } from "./fake-image-store.js";
import { FakeNetwork } from "./fake-network.js";
import { FakeGuestPorts, FakePortForwards } from "./fake-ports.js";
import { FakePrivileged } from "./fake-privileged.js";
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
 * A whole host in memory: every contract is a fake, and what their calls made can be listed. It outlives its daemons, whose calls are
 * counted and may be told to fail; what a test asks of a fake itself is not.
 */
export class FakeHost extends FakeHostState implements HostCradle {
  readonly commands = new FakeCommandRunner();
  readonly vmm = new FakeVmm(this);
  readonly vmmDrivers = fakeVmmDrivers(this.vmm);
  readonly guestAgent = new FakeGuestAgent(this.vmm);
  readonly guestEgress = new FakeGuestEgress();
  readonly guestSsh = new FakeGuestSsh(this);
  readonly guestBoot = fakeGuestBoot(this);
  readonly guestPorts = new FakeGuestPorts();
  readonly guestKeys = fakeGuestKeys();
  readonly handleStore = new FakeHandleStore(this);
  readonly hostFacts = fakeHostFacts();
  readonly hostResolver = new FakeHostResolver();
  readonly imageStore = new FakeImageStore();
  readonly network = new FakeNetwork();
  readonly portForwards = new FakePortForwards(this);
  readonly privileged = new FakePrivileged(this.commands);
  readonly rootDisks = fakeRootDisks(this);
  readonly vmFiles = new FakeVmFiles(this);
  readonly vmStore: FakeVmStore;

  /** @param vms records that are there already */
  constructor(vms: readonly VmRecord[] = []) {
    super();
    this.vmStore = new FakeVmStore(vms);
    this.calls.onKill = () => {
      for (const thing of this.things)
        if (/^(connection|forward) /.test(thing)) this.things.delete(thing);
    };
  }

  /** What exists, sorted; nothing when no VM has left a trace. */
  inventory(): readonly string[] {
    const networks = [...this.network.prepared].map(fakeThings.network);
    return [...this.things, ...networks].sort();
  }

  /** Ends every daemon as SIGKILL does: none calls the host again, and the kernel takes its connections and listening sockets. */
  killDaemons(): void {
    this.calls.killDaemons();
  }
}
