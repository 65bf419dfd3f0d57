import type { PortForward } from "../model/port.js";
import type { VmId } from "../model/vm.js";
import { HostCalls } from "./host-calls.js";

/** What the fakes of one host share: what exists on it, by name, and the calls that made it. Outlives a daemon. */
export class FakeHostState {
  readonly calls = new HostCalls();
  /** such as `process 000000000001`, `vms/000000000001/root.qcow2` */
  readonly things = new Set<string>();

  /** Removes a directory with everything below it. */
  removeBelow(directory: string): void {
    for (const thing of this.things)
      if (thing === directory || thing.startsWith(`${directory}/`))
        this.things.delete(thing);
  }
}

/** Names of what belongs to one VM on a fake host. */
export const fakeThings = {
  directory: (id: VmId): string => `vms/${id}`,
  runDirectory: (id: VmId): string => `run/${id}`,
  rootDisk: (id: VmId): string => `vms/${id}/root.qcow2`,
  jail: (id: VmId): string => `jail ${id}`,
  loop: (id: VmId): string => `loop ${id}`,
  handles: (id: VmId): string => `vms/${id}/handles.json`,
  bootFile: (id: VmId): string => `run/${id}/initrd`,
  vmmSocket: (id: VmId): string => `run/${id}/vmm.sock`,
  process: (id: VmId): string => `process ${id}`,
  network: (id: VmId): string => `network ${id}`,
  connection: (id: VmId): string => `connection ${id}`,
  forward: (id: VmId, { address, port, guestPort }: PortForward): string =>
    `forward ${address}:${String(port)} ${id} ${String(guestPort)}`,
  egress: (plugin: string, id: VmId): string => `${plugin} egress ${id}`,
  ofPlugin: (plugin: string, id: VmId): string => `${plugin} ${id}`,
};
