import type {
  EgressInForce,
  EgressPolicy,
  GuestEgress,
  Refusal,
  ResolvedName,
  VmRecord,
} from "@banger/core";

/** Most addresses remembered for one guest: it may ask for any number of names. */
const mostAddresses = 4096;

/** {@link GuestEgress} in this process's memory. */
export class InMemoryGuestEgress implements GuestEgress {
  #policy: EgressPolicy | undefined;
  /** guest -> address -> name, the one told last at the end */
  readonly #names = new Map<string, Map<string, string>>();

  decide(policy: EgressPolicy): () => void {
    if (this.#policy) throw new Error("there is an egress policy already");
    this.#policy = policy;
    return () => {
      if (this.#policy === policy) this.#policy = undefined;
    };
  }

  mayResolve(guestIp: string, name: string): boolean {
    return this.#policy?.mayResolve(guestIp, name) ?? false;
  }

  async resolved(answer: ResolvedName): Promise<void> {
    const names = this.#names.get(answer.guestIp) ?? new Map<string, string>();
    this.#names.set(answer.guestIp, names);
    for (const address of answer.addresses) {
      names.delete(address);
      names.set(address, answer.name);
    }
    for (const address of names.keys()) {
      if (names.size <= mostAddresses) break;
      names.delete(address);
    }
    await this.#policy?.resolved(answer);
  }

  nameOf(guestIp: string, address: string): string | undefined {
    return this.#names.get(guestIp)?.get(address);
  }

  forget(guestIp: string): void {
    this.#names.delete(guestIp);
  }

  inForce(vm: VmRecord): EgressInForce {
    return this.#policy?.inForce(vm) ?? { kind: "closed", recorded: false };
  }

  async refusals(
    vm: VmRecord,
    signal: AbortSignal,
  ): Promise<readonly Refusal[]> {
    return (await this.#policy?.refusals(vm, signal)) ?? [];
  }
}
