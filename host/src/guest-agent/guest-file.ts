import { abortAfter } from "@banger/core";
import type { AgentClient } from "./agent-client.js";
import { bytesOf, fieldsOf, integerOf, oddAnswer } from "./agent-values.js";

/** Bytes of a file in one request or answer; a third more as base64. */
const chunkBytes = 256 << 10;

/**
 * Reads the beginning of a file in the guest, at most `maxBytes`. The file is closed in the guest after an error too.
 * @throws as {@link AgentClient.request}
 */
export function readGuestFile(
  client: AgentClient,
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  return withOpenFile(client, path, "r", signal, async (handle) => {
    const chunks: Buffer[] = [];
    for (let left = maxBytes; left > 0;) {
      const count = Math.min(left, chunkBytes);
      const { bytes, isEnd } = parseContent(
        await client.request("guest-file-read", { handle, count }, signal),
        count,
      );
      chunks.push(bytes);
      left -= bytes.length;
      if (isEnd) break;
      // fread(3) gives less than was asked for only at the end: a guest that says otherwise would be read for ever.
      if (bytes.length < count) throw oddAnswer("guest-file-read");
    }
    return Buffer.concat(chunks);
  });
}

/**
 * Makes a file in the guest, or replaces what is in it. After an error the file is closed, and holds the beginning or nothing.
 * @throws as {@link AgentClient.request}
 */
export function writeGuestFile(
  client: AgentClient,
  path: string,
  content: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  return withOpenFile(client, path, "w", signal, async (handle) => {
    for (let at = 0; at < content.length;) {
      const chunk = content.subarray(at, at + chunkBytes);
      const base64 = Buffer.from(chunk).toString("base64");
      const answer = await client.request(
        "guest-file-write",
        { handle, "buf-b64": base64 },
        signal,
      );
      const { count } = fieldsOf("guest-file-write", answer);
      at += integerOf("guest-file-write", count, 1, chunk.length);
    }
    // The agent's own buffer, like that of any program, may fail to be written only now.
    await client.request("guest-file-flush", { handle }, signal);
  });
}

/** How long a file may take to be closed after its user has left, ms. */
const closeLimitMs = 2_000;

async function withOpenFile<T>(
  client: AgentClient,
  path: string,
  mode: "r" | "w",
  signal: AbortSignal,
  work: (handle: number) => Promise<T>,
): Promise<T> {
  const handle = integerOf(
    "guest-file-open",
    await client.request("guest-file-open", { path, mode }, signal),
    0,
    Number.MAX_SAFE_INTEGER,
  );
  let result: T;
  try {
    result = await work(handle);
  } catch (error) {
    // A caller that left does not leave an open file behind. What went wrong first is what it hears.
    await close(client, handle, abortAfter(closeLimitMs)).catch(
      () => undefined,
    );
    throw error;
  }
  await close(client, handle, signal);
  return result;
}

function close(
  client: AgentClient,
  handle: number,
  signal: AbortSignal,
): Promise<unknown> {
  return client.request("guest-file-close", { handle }, signal);
}

/** @see QEMU, qga/qapi-schema.json: GuestFileRead */
function parseContent(
  value: unknown,
  count: number,
): { readonly bytes: Buffer; readonly isEnd: boolean } {
  const fields = fieldsOf("guest-file-read", value);
  const isEnd = fields["eof"];
  if (typeof isEnd !== "boolean") throw oddAnswer("guest-file-read");
  const bytes = bytesOf("guest-file-read", fields["buf-b64"], count);
  return { bytes, isEnd };
}
