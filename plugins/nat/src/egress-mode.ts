import type {
  Check,
  CommandRunner,
  Finding,
  HostFacts,
  Logger,
  VmRecord,
} from "@banger/core";
import { BridgeEgress } from "./bridge-egress.js";
import { userEgress } from "./user-egress.js";

/** How guests leave through one network mode. */
export interface EgressMode {
  /** the network mode that it belongs to */
  readonly mode: string;
  /** one line: who translates the guest's addresses */
  readonly summary: string;
  /** why a running guest keeps the egress that it was started with */
  readonly fixedBecause: string;
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
    logger: Logger,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Reads only. */
  readonly check?: (signal: AbortSignal) => Promise<Check>;
}

/** The modes that the plugin knows. Made once per daemon. */
export class EgressModes {
  readonly #modes: readonly EgressMode[];
  readonly #isRoot: boolean;

  constructor(deps: {
    readonly commands: CommandRunner;
    readonly hostFacts: Pick<HostFacts, "isRoot">;
  }) {
    this.#modes = [userEgress, new BridgeEgress(deps)];
    this.#isRoot = deps.hostFacts.isRoot;
  }

  /** `undefined` when the plugin does not know the network mode. Pure. */
  find(networkMode: string): EgressMode | undefined {
    return this.#modes.find(({ mode }) => mode === networkMode);
  }

  /** Those that may have left something of such a VM. A damaged record does not say which it was, and who is not root has left nothing. */
  forRemoval(networkMode: string): readonly EgressMode[] {
    const found = this.find(networkMode);
    if (found) return [found];
    return this.#isRoot ? this.#modes : [];
  }
}

/** Network modes that the plugin knows. */
export const knownModes: readonly string[] = ["user", "bridge"];
