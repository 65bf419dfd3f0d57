import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
} from "node:crypto";

/** An ed25519 key pair in OpenSSH's formats. */
export interface OpenSshKeyPair {
  /** PEM-like block `OPENSSH PRIVATE KEY`, unencrypted, with a final newline */
  readonly privateKey: string;
  /** `ssh-ed25519 BASE64 COMMENT`, one line without a newline */
  readonly publicKey: string;
}

const algorithm = "ssh-ed25519";
const magic = Buffer.from("openssh-key-v1\0");
const begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
const end = "-----END OPENSSH PRIVATE KEY-----";
/** DER of a PKCS#8 ed25519 key up to the 32-byte seed (RFC 8410, section 7). */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** Makes a new pair. Node writes no OpenSSH format, and loading ssh2 for it would cost the daemon's idle memory. */
export function generateOpenSshKeyPair(comment: string): OpenSshKeyPair {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { d = "", x = "" } = privateKey.export({ format: "jwk" });
  const seed = Buffer.from(d, "base64url");
  const point = Buffer.from(x, "base64url");
  return {
    privateKey: renderPrivateKey(seed, point, comment),
    publicKey: renderPublicKey(point, comment),
  };
}

/**
 * Reads an unencrypted OpenSSH ed25519 private key and derives its public half.
 * @throws Error that says what is wrong with the text
 */
export function parseOpenSshKeyPair(text: string): OpenSshKeyPair {
  const body = text.trim();
  if (!body.startsWith(begin) || !body.endsWith(end))
    throw new Error("it is no OpenSSH private key");
  const base64 = body.slice(begin.length, -end.length).replaceAll(/\s/g, "");
  const blob = Buffer.from(base64, "base64");
  if (!blob.subarray(0, magic.length).equals(magic))
    throw new Error("it does not begin as an OpenSSH private key");
  const outer = new WireReader(blob.subarray(magic.length));
  if (outer.text() !== "none" || outer.text() !== "none")
    throw new Error("it is encrypted");
  outer.bytes();
  if (outer.uint32() !== 1) throw new Error("it holds more than one key");
  const outerPoint = pointOf(new WireReader(outer.bytes()));
  const inner = new WireReader(outer.bytes());
  if (inner.uint32() !== inner.uint32())
    throw new Error("its check numbers differ");
  const point = pointOf(inner);
  const secret = inner.bytes();
  const comment = inner.text();
  const seed = secret.subarray(0, 32);
  if (
    secret.length !== 64 ||
    !secret.subarray(32).equals(point) ||
    !outerPoint.equals(point) ||
    !derivePoint(seed).equals(point)
  )
    throw new Error("its private and public halves do not belong together");
  return {
    privateKey: `${body}\n`,
    publicKey: renderPublicKey(point, comment),
  };
}

function renderPublicKey(point: Buffer, comment: string): string {
  return `${algorithm} ${publicBlob(point).toString("base64")} ${comment}`.trimEnd();
}

function publicBlob(point: Buffer): Buffer {
  return Buffer.concat([wire(Buffer.from(algorithm)), wire(point)]);
}

/** @see OpenSSH, PROTOCOL.key */
function renderPrivateKey(
  seed: Buffer,
  point: Buffer,
  comment: string,
): string {
  const check = randomBytes(4);
  const plain = Buffer.concat([
    check,
    check,
    publicBlob(point),
    wire(Buffer.concat([seed, point])),
    wire(Buffer.from(comment)),
  ]);
  // Padding 1, 2, 3, … up to the cipher's block size, which is 8 for `none`.
  const padding = Buffer.from(
    Array.from({ length: (8 - (plain.length % 8)) % 8 }, (_, i) => i + 1),
  );
  const none = wire(Buffer.from("none"));
  const blob = Buffer.concat([
    magic,
    none,
    none,
    wire(Buffer.alloc(0)),
    uint32(1),
    wire(publicBlob(point)),
    wire(Buffer.concat([plain, padding])),
  ]);
  const lines = blob.toString("base64").match(/.{1,70}/g) ?? [];
  return [begin, ...lines, end, ""].join("\n");
}

function derivePoint(seed: Buffer): Buffer {
  const key = createPrivateKey({
    key: Buffer.concat([pkcs8Prefix, seed]),
    format: "der",
    type: "pkcs8",
  });
  const { x = "" } = createPublicKey(key).export({ format: "jwk" });
  return Buffer.from(x, "base64url");
}

function pointOf(reader: WireReader): Buffer {
  if (reader.text() !== algorithm) throw new Error("it is no ed25519 key");
  const point = reader.bytes();
  if (point.length !== 32) throw new Error("its public half is cut off");
  return point;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A string of the SSH wire format: length, bytes (RFC 4251, section 5). */
function wire(bytes: Buffer): Buffer {
  return Buffer.concat([uint32(bytes.length), bytes]);
}

class WireReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  bytes(): Buffer {
    return this.#take(this.uint32());
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  #take(length: number): Buffer {
    const from = this.#offset;
    if (from + length > this.#bytes.length) throw new Error("it is cut off");
    this.#offset += length;
    return this.#bytes.subarray(from, this.#offset);
  }
}
