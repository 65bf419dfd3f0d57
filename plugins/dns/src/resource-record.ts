import { encodeName } from "./wire-name.js";

/** Types that this server knows by number. @see IANA, "Resource Record (RR) TYPEs" */
export const Type = {
  a: 1,
  ns: 2,
  cname: 5,
  soa: 6,
  mb: 7,
  mg: 8,
  mr: 9,
  ptr: 12,
  minfo: 14,
  mx: 15,
  aaaa: 28,
  opt: 41,
  ixfr: 251,
  axfr: 252,
  any: 255,
} as const;

export const classIn = 1;

/** A record of the class IN; names are written out. */
export interface ResourceRecord {
  readonly owner: Buffer;
  readonly type: number;
  readonly ttlSeconds: number;
  readonly data: Buffer;
}

/** @param address IPv4, dotted */
export function addressRecord(
  owner: Buffer,
  ttlSeconds: number,
  address: string,
): ResourceRecord {
  const data = Buffer.from(address.split(".").map(Number));
  return { owner, type: Type.a, ttlSeconds, data };
}

// Every one-label name below `vm` may be a VM's, so the server's own name is outside: `localhost` always is this host (RFC 6761).
const serverName = encodeName(["localhost"]);
const responsible = encodeName(["nobody", "invalid"]);

export function nameServerRecord(
  owner: Buffer,
  ttlSeconds: number,
): ResourceRecord {
  return { owner, type: Type.ns, ttlSeconds, data: serverName };
}

/** @param ttlSeconds how long "no such name" may be remembered (RFC 2308 §5) */
export function authorityRecord(
  owner: Buffer,
  ttlSeconds: number,
  serial: number,
): ResourceRecord {
  const numbers = Buffer.alloc(20);
  // There are no secondaries; the numbers in the middle are RFC 1912's lower ends.
  [serial, 1200, 180, 1_209_600, ttlSeconds].forEach((value, index) =>
    numbers.writeUInt32BE(value, index * 4),
  );
  const data = Buffer.concat([serverName, responsible, numbers]);
  return { owner, type: Type.soa, ttlSeconds, data };
}
