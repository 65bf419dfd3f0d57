import { z } from "zod";
import { guestTapName, isPrivateIpv4, type VmId } from "@banger/core";

export const vmId = z
  .string()
  .regex(/^[0-9a-f]{12}$/)
  .transform((id) => id as VmId);

const guestAddress = z
  .ipv4()
  .refine(isPrivateIpv4, "is no private IPv4 address");

const port = z.int().min(0).max(65_535);
const protocol = z.enum(["tcp", "udp"]);

/** Something that is always open: all of it, or one port, of one protocol or both. */
const opening = z.strictObject({
  to: z.union([z.ipv4(), z.cidrv4()]),
  port: port.exactOptional(),
  protocol: protocol.exactOptional(),
});

/** Most entries of an allow list: each is a rule that new connections are held against. */
export const mostEntries = 256;

/** Most addresses of one answer; those of a name that is in use are a dozen. */
export const mostAddresses = 256;

/** Longest that an address stays open after an answer, seconds. */
export const longestPermitSeconds = 86_400;

export const guestInput = z.strictObject({
  id: vmId,
  tapDevice: z.string().regex(guestTapName),
  guestIp: guestAddress,
  /** may it leave at all? */
  open: z.boolean(),
  /** what it may reach; everything when absent */
  allow: z
    .strictObject({
      always: z.array(opening).max(mostEntries),
      /** do names open more as they are resolved? */
      byName: z.boolean(),
    })
    .exactOptional(),
});

/** A guest as the daemon wants it. */
export type GuestInput = z.output<typeof guestInput>;

export type Opening = z.output<typeof opening>;

/** Most pairs of an address and a service that one answer opens: each is a line for nft. */
export const mostPairs = 16_384;

export const permitInput = z
  .strictObject({
    id: vmId,
    seconds: z.int().min(1).max(longestPermitSeconds),
    addresses: z.array(z.ipv4()).min(1).max(mostAddresses),
    /** every port of every protocol */
    whole: z.boolean(),
    services: z.array(z.strictObject({ port, protocol })).max(2 * mostEntries),
  })
  .refine(
    ({ addresses, services }) =>
      addresses.length * services.length <= mostPairs,
    "opens too much at once",
  );

/** What a name has led to. */
export type Permit = z.output<typeof permitInput>;

/** Where the packets of a guest go. */
export interface Path {
  readonly bridge: string;
  /** of the bridge, as `172.16.0.0/24` */
  readonly subnet: string;
  /** the host's way out; absent when it has none, or the guest may not leave */
  readonly uplink: string | undefined;
}

/** A guest as its rules need it. */
export type Guest = GuestInput & { readonly tag: string };
