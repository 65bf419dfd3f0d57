import type {
  EgressInForce,
  EgressPolicy,
  GuestEgress,
  Refusal,
  ResolvedName,
} from "../contracts/guest-egress.js";
import type { VmRecord } from "../model/vm.js";

/** {@link GuestEgress} that keeps what it was told. */
export class FakeGuestEgress implements GuestEgress {
  policy: EgressPolicy | undefined;
  readonly answers: ResolvedName[] = [];

  decide(policy: EgressPolicy): () => void {
    if (this.policy) throw new Error("there is a policy already");
    this.policy = policy;
    return () => {
      this.policy = undefined;
    };
  }

  mayResolve(guestIp: string, name: string): boolean {
    return this.policy?.mayResolve(guestIp, name) ?? false;
  }

  async resolved(answer: ResolvedName): Promise<void> {
    this.answers.push(answer);
    await this.policy?.resolved(answer);
  }

  nameOf(guestIp: string, address: string): string | undefined {
    return this.answers.findLast(
      (answer) =>
        answer.guestIp === guestIp && answer.addresses.includes(address),
    )?.name;
  }

  forget(guestIp: string): void {
    const kept = this.answers.filter((answer) => answer.guestIp !== guestIp);
    this.answers.splice(0, this.answers.length, ...kept);
  }

  inForce(vm: VmRecord): EgressInForce {
    return this.policy?.inForce(vm) ?? { kind: "closed", recorded: false };
  }

  async refusals(
    vm: VmRecord,
    signal: AbortSignal,
  ): Promise<readonly Refusal[]> {
    return (await this.policy?.refusals(vm, signal)) ?? [];
  }
}
