import { once } from "node:events";
import type { Duplex } from "node:stream";
import { connect as startTls } from "node:tls";
import { abortAfter } from "@banger/core";

/** Most that is read of what a port answers, bytes: certificates are the bulk of it. */
const mostBytes = 32 * 1024;

/** The first line of an answer; RFC 9112, section 4. */
const statusLine = /^HTTP\/1\.[01] (\d{3})[ \r\n]/;

const question = [
  "HEAD / HTTP/1.1",
  "Host: localhost",
  "User-Agent: banger",
  "Connection: close",
  "",
  "",
].join("\r\n");

/**
 * Finds out whether a port speaks http or https, by one HEAD request whose answer is not followed anywhere: in plain, which costs
 * nobody a time-out and fills no log, then in a TLS handshake that trusts any certificate. Anything odd is neither. Never rejects.
 * @param open a new connection to the port
 * @param limitMs for each of the two
 */
export async function probeScheme(
  open: (signal: AbortSignal) => Promise<Duplex>,
  limitMs: number,
  signal: AbortSignal,
): Promise<"http" | "https" | undefined> {
  const ask = (wrap: (raw: Duplex) => Duplex): Promise<number | undefined> => {
    const limit = abortAfter(limitMs);
    return askStatus(open, wrap, AbortSignal.any([signal, limit]));
  };
  const plain = await ask((raw) => raw);
  // Many servers of https answer a plain request with 400 and words about it.
  if (plain !== undefined && plain !== 400) return "http";
  if ((await ask(overTls)) !== undefined) return "https";
  return plain === undefined ? undefined : "http";
}

/** The status that the port answers with; `undefined` when it does not speak HTTP. */
async function askStatus(
  open: (signal: AbortSignal) => Promise<Duplex>,
  wrap: (raw: Duplex) => Duplex,
  signal: AbortSignal,
): Promise<number | undefined> {
  const streams: Duplex[] = [];
  const keep = (stream: Duplex): Duplex => {
    streams.push(stream);
    return stream.on("error", () => undefined);
  };
  try {
    const raw = keep(await open(signal));
    if (raw.destroyed) return undefined;
    const stream = keep(wrap(raw));
    stream.on("end", () => stream.destroy(new Error("it said nothing")));
    limitBytes(raw, stream);
    stream.write(question);
    const [first] = (await once(stream, "data", { signal })) as [Buffer];
    const status = statusLine.exec(first.toString("latin1"))?.[1];
    return status === undefined ? undefined : Number(status);
  } catch {
    return undefined;
  } finally {
    for (const stream of streams) stream.destroy();
  }
}

function overTls(raw: Duplex): Duplex {
  return startTls({
    socket: raw,
    rejectUnauthorized: false,
    ALPNProtocols: ["http/1.1"],
  });
}

/** Listens beside the reader, so it takes nothing away from it. */
function limitBytes(raw: Duplex, stream: Duplex): void {
  let bytes = 0;
  raw.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > mostBytes) stream.destroy(new Error("it says too much"));
  });
}
