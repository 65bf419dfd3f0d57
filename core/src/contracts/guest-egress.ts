import type { VmRecord } from "../model/vm.js";

/** An answer that a guest is about to get. */
export interface ResolvedName {
  /** of the guest that asked */
  readonly guestIp: string;
  /** lower case, without the last dot */
  readonly name: string;
  /** IPv4 */
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
}

/** Something that a guest wanted to reach and was refused. */
export interface Refusal {
  /** of the last attempt; ISO 8601, UTC */
  readonly at: string;
  readonly protocol: "tcp" | "udp" | "icmp" | "dns" | "other";
  /** absent for a name that was not resolved */
  readonly address?: string;
  /** absent where the protocol has none */
  readonly port?: number;
  /** where it is known: the name that the guest asked for, lower case */
  readonly name?: string;
  /** attempts since the VM started; packets for other protocols than dns */
  readonly count: number;
}

/** What a guest may open connections to beyond its host, and whether what it is refused is noted. */
export interface EgressInForce {
  /** `listed`: what `allow` says and nothing else */
  readonly kind: "closed" | "open" | "listed";
  /** as the owner wrote them; with `listed` only */
  readonly allow?: readonly string[];
  /** are refusals noted? Not where the VMM itself refuses. */
  readonly recorded: boolean;
}

/** What `vm why-blocked` tells of a VM. */
export interface VmRefusals {
  readonly egress: EgressInForce;
  /** newest first */
  readonly refusals: readonly Refusal[];
}

/** Decides and reports what guests may reach. */
export interface EgressPolicy {
  /** May this guest have names resolved that are beyond the host's own VMs? Does nothing but note a refusal. */
  mayResolve(guestIp: string, name: string): boolean;
  /** Awaited before the guest gets the answer, so that it can use it at once; rejects when it could not. */
  resolved(answer: ResolvedName): Promise<void>;
  /** What is in force for this VM while it runs. Pure. */
  inForce(vm: VmRecord): EgressInForce;
  /** Newest first. */
  refusals(vm: VmRecord, signal: AbortSignal): Promise<readonly Refusal[]>;
}

/**
 * Where those who answer guests' questions for names and those who let guests out meet without knowing each other. In memory, one for each
 * daemon.
 */
export interface GuestEgress {
  /** Takes over the decisions, until the returned function is called. @throws Error when there is a policy already */
  decide(policy: EgressPolicy): () => void;
  /** Without a policy nobody may. */
  mayResolve(guestIp: string, name: string): boolean;
  /** Told by whoever resolves names, before the answer goes out. */
  resolved(answer: ResolvedName): Promise<void>;
  /** The name that led a guest to an address, as far as it is remembered; the last one of several. */
  nameOf(guestIp: string, address: string): string | undefined;
  /** Forgets what a guest was told. Idempotent. */
  forget(guestIp: string): void;
  /** Without a policy: closed, and nothing is noted. Pure. */
  inForce(vm: VmRecord): EgressInForce;
  /** None without a policy. */
  refusals(vm: VmRecord, signal: AbortSignal): Promise<readonly Refusal[]>;
}
