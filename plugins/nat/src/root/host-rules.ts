import {
  KeyedLock,
  type CommandRunner,
  type PrivilegedContext,
  type VmId,
} from "@banger/core";
import { findBackend, othersForward, type Backend } from "./backend.js";
import { Forwarding } from "./forwarding.js";
import type { GuestInput, Permit } from "./guest.js";
import { findPath } from "./host-devices.js";
import { IptablesRules } from "./iptables-rules.js";
import { NatTable } from "./nat-table.js";
import type { RecordedRefusal } from "./recorded-refusal.js";
import type { Holder } from "./rule-names.js";

/** What is read must still be so when it is changed. Another process's changes are met by the order of the steps. */
const lock = new KeyedLock();

/** What is on the host of one install. */
export interface HostStatus {
  readonly backend: Backend;
  /** does the host forward IPv4? */
  readonly isForwarding: boolean;
  readonly hasFirewalld: boolean;
  /** VMs that there are rules of, with the commands that remove these */
  readonly vms: readonly { readonly id: VmId; readonly removal: string }[];
}

/** Everything that this plugin changes on the host, by VM. Runs as root. */
export class HostRules {
  readonly #tag: string;
  readonly #install: PrivilegedContext["install"];
  readonly #commands: CommandRunner;
  readonly #signal: AbortSignal;
  readonly #table: NatTable;
  readonly #iptables: IptablesRules;
  readonly #forwarding: Forwarding;

  constructor({ install, commands, signal }: PrivilegedContext) {
    this.#tag = install.tag;
    this.#install = install;
    this.#commands = commands;
    this.#signal = signal;
    this.#table = new NatTable(commands, signal);
    this.#iptables = new IptablesRules(commands, signal);
    this.#forwarding = new Forwarding(commands, signal);
  }

  /**
   * Brings a guest's rules to what is wanted. Idempotent.
   * @returns the way out that it has now
   * @throws NatBridgeError
   */
  ensure(input: GuestInput): Promise<{ readonly uplink?: string }> {
    return this.#alone(async () => {
      const path = await findPath(
        input,
        this.#install,
        this.#commands,
        this.#signal,
      );
      const guest = { ...input, tag: this.#tag };
      const { uplink, bridge } = path;
      if (uplink === undefined) {
        const { others } = await this.#table.openBridges(guest);
        if (!others.has(bridge)) await this.#forwarding.close(bridge);
        await this.#table.ensure(guest, path, {
          translates: false,
          wasOff: false,
        });
        // What keeps it in stands, whatever is met here: only what stays on the bridge may still need an accept.
        if ((await findBackend(this.#commands, this.#signal)) === "iptables")
          await this.#iptables.ensure(guest, path);
        else await this.#iptables.remove(guest);
        return {};
      }
      const backend = await findBackend(this.#commands, this.#signal);
      // What leaves is translated and accepted from the first packet on, as the mark comes last.
      if (backend === "iptables") await this.#iptables.ensure(guest, path);
      await this.#table.ensure(guest, path, {
        translates: backend === "nftables",
        wasOff: !(await this.#forwarding.isOn()),
      });
      if (backend === "nftables") await this.#iptables.remove(guest);
      await this.#forwarding.open(bridge);
      return { uplink };
    });
  }

  /** Removes every rule of a VM. Idempotent. */
  remove(id: VmId): Promise<void> {
    return this.#alone(async () => {
      const holder = this.#holder(id);
      // While its rules still say which bridges they open: whoever ends in between leaves what the next one goes by.
      const { all, others } = await this.#table.openBridges(holder);
      for (const bridge of all)
        if (!others.has(bridge)) await this.#forwarding.close(bridge);
      await this.#table.remove(holder);
      await this.#iptables.remove(holder);
      if ((await this.#table.removeEmpty()) === "forwarding")
        await this.#restoreForwarding();
    });
  }

  /** Does nothing for a guest that names open nothing for, such as one that has just stopped. */
  permit(permit: Permit): Promise<void> {
    return this.#table.permit(this.#holder(permit.id), permit);
  }

  refusals(id: VmId): Promise<readonly RecordedRefusal[]> {
    return this.#table.refusals(this.#holder(id));
  }

  /** Reads only. */
  async status(): Promise<HostStatus> {
    const ids = new Set<string>([
      ...(await this.#table.holders(this.#tag)),
      ...(await this.#iptables.holders(this.#tag)),
    ]);
    const vms = [];
    for (const id of [...ids].sort() as VmId[])
      vms.push({ id, removal: await this.#removalOf(this.#holder(id)) });
    return {
      backend: await findBackend(this.#commands, this.#signal),
      isForwarding: await this.#forwarding.isOn(),
      hasFirewalld: await this.#table.hasFirewalld(),
      vms,
    };
  }

  async #removalOf(holder: Holder): Promise<string> {
    const table = await this.#table.removalOf(holder);
    return [
      ...(await this.#iptables.removalOf(holder)),
      ...(table.length === 0 ? [] : [`nft '${table.join("; ")}'`]),
    ].join(" && ");
  }

  /** Only where nobody else's rules look at what is forwarded: whoever began after us may count on it. */
  async #restoreForwarding(): Promise<void> {
    if (await othersForward(this.#commands, this.#signal)) return;
    if (await this.#table.othersForward()) return;
    await this.#forwarding.set(false);
    // Another daemon has let a guest out meanwhile.
    const { all } = await this.#table.openBridges();
    if (all.size > 0) await this.#forwarding.set(true);
  }

  #holder(id: VmId): Holder {
    return { id, tag: this.#tag };
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return lock.run("rules", this.#signal, work);
  }
}
