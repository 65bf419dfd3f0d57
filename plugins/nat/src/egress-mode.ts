import type {
  Check,
  CommandRunner,
  Finding,
  GuestEgress,
  Logger,
  Privileged,
  VmHandles,
  VmId,
  VmRecord,
} from "@banger/core";
import { AllowList } from "./allow-list.js";
import { BridgeEgress } from "./bridge-egress.js";
import type { NatConfig } from "./config.js";
import { userEgress } from "./user-egress.js";

/** How guests leave through one network mode. */
export interface EgressMode {
  /** the network mode that it belongs to */
  readonly mode: string;
  /** one line: who translates the guest's addresses */
  readonly summary: string;
  /** why a running guest keeps the egress that it was started with */
  readonly fixedBecause: string;
  /** can it keep guests to a list of destinations? */
  readonly enforcesAllow: boolean;
  /** Interface of the host's own way out, or `undefined` when it has none. */
  findUplink(signal: AbortSignal): Promise<string | undefined>;
  /** What speaks against a VM of this mode here, with and without NAT. Reads only. */
  readonly findings?: () => Promise<readonly Finding[]>;
  /**
   * Brings the host to what the record wants, whether the guest runs or not: closed, or open for this guest. Idempotent. Absent in
   * modes where the VMM sees to it.
   */
  readonly apply?: (vm: VmRecord, signal: AbortSignal) => Promise<void>;
  /** Removes what {@link EgressMode.apply} made, from the record alone. Idempotent. */
  readonly remove?: (
    vm: VmRecord,
    handles: VmHandles | undefined,
    logger: Logger,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Reads only. */
  readonly check?: (
    vmIds: () => Promise<readonly VmId[]>,
    signal: AbortSignal,
  ) => Promise<readonly Check[]>;
}

/** The modes that the plugin knows. Made once per daemon. */
export class EgressModes {
  /** what guests with NAT may reach; everything when absent */
  readonly allow: AllowList | undefined;
  readonly #modes: readonly EgressMode[];
  readonly #bridge: BridgeEgress;
  readonly #privileged: Privileged;

  constructor(deps: {
    readonly commands: CommandRunner;
    readonly privileged: Privileged;
    readonly guestEgress: GuestEgress;
    readonly logger: Logger;
    readonly config: NatConfig;
  }) {
    const { allow } = deps.config;
    this.allow = allow === undefined ? undefined : new AllowList(allow);
    this.#bridge = new BridgeEgress({ ...deps, allow: this.allow });
    this.#modes = [userEgress, this.#bridge];
    this.#privileged = deps.privileged;
  }

  /** `undefined` when the plugin does not know the network mode. Pure. */
  find(networkMode: string): EgressMode | undefined {
    return this.#modes.find(({ mode }) => mode === networkMode);
  }

  /** Those that may have left something of such a VM. A damaged record does not say which it was, and who may do nothing has left nothing. */
  forRemoval(networkMode: string): readonly EgressMode[] {
    const found = this.find(networkMode);
    if (found) return [found];
    return this.#privileged.kind === "none" ? [] : this.#modes;
  }

  /** Rules stay, as guests do. */
  close(): Promise<void> {
    return this.#bridge.close();
  }
}

/** Network modes that the plugin knows. */
export const knownModes: readonly string[] = ["user", "bridge"];
