import type { VmId } from "@banger/core";

/** One VM of one install: whose rules these are. */
export interface Holder {
  readonly id: VmId;
  /** of the install, as root knows it: a request reaches its own install's rules alone */
  readonly tag: string;
}

/** What chains and sets of a VM are called in our nftables table. Pure. */
export function namesOf({ id, tag }: Holder): GuestNames {
  const name = (what: string): string => `${what}-${tag}-${id}`;
  return {
    out: name("vm"),
    back: name("back"),
    leave: name("leave"),
    refused: name("refused"),
    unported: name("unported"),
    hosts: name("hosts"),
    services: name("services"),
  };
}

/** @see namesOf */
export interface GuestNames {
  /** chain: what the guest sends */
  readonly out: string;
  /** chain: what comes back */
  readonly back: string;
  /** chain: translation */
  readonly leave: string;
  /** set: refused addresses with protocol and port */
  readonly refused: string;
  /** set: refused addresses of protocols without port */
  readonly unported: string;
  /** set: addresses that names led to, open for every protocol */
  readonly hosts: string;
  /** set: the same with protocol and port */
  readonly services: string;
}

/** The VM that a chain of this install belongs to. Pure. */
export function holderOf(chain: string, tag: string): VmId | undefined {
  const [, owner, id] = /^vm-([0-9a-f]{8})-([0-9a-f]{12})$/.exec(chain) ?? [];
  return owner === tag ? (id as VmId) : undefined;
}

/**
 * What a rule of a VM carries, so that it is found by VM, TAP device and install. iptables quotes no such text. Pure.
 */
export function commentOf({ id, tag }: Holder, tapDevice: string): string {
  return `banger-${id}-${tapDevice}-${tag}`;
}

/** Whose rule this is. The first release wrote neither TAP device nor install. Pure. */
export function isCommentOf({ id, tag }: Holder, comment: string): boolean {
  if (comment === `banger-${id}`) return true;
  return comment.startsWith(`banger-${id}-`) && comment.endsWith(`-${tag}`);
}
