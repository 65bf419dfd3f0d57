import type { AgentClient } from "./agent-client.js";
import { AgentProtocolError } from "./agent-errors.js";

/**
 * Reads the beginning of a file in the guest, at most `maxBytes`. The file is closed in the guest after an error too.
 * @returns as Latin-1 text: whatever the bytes are, each is one character
 * @throws as {@link AgentClient.request}
 */
export async function readGuestFile(
  client: AgentClient,
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const handle = parseHandle(
    await client.request("guest-file-open", { path, mode: "r" }, signal),
  );
  let text: string;
  try {
    text = parseContent(
      await client.request(
        "guest-file-read",
        { handle, count: maxBytes },
        signal,
      ),
      maxBytes,
    );
  } catch (error) {
    // What went wrong first is what the caller hears.
    await close(client, handle, signal).catch(() => undefined);
    throw error;
  }
  await close(client, handle, signal);
  return text;
}

function close(
  client: AgentClient,
  handle: number,
  signal: AbortSignal,
): Promise<unknown> {
  return client.request("guest-file-close", { handle }, signal);
}

function parseHandle(value: unknown): number {
  if (Number.isSafeInteger(value)) return value as number;
  throw new AgentProtocolError("the answer to guest-file-open is odd");
}

/** @see QEMU, qga/qapi-schema.json: GuestFileRead */
function parseContent(value: unknown, maxBytes: number): string {
  const base64 = (value as { "buf-b64"?: unknown } | null)?.["buf-b64"];
  if (typeof base64 !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
    throw new AgentProtocolError("the answer to guest-file-read is odd");
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length > maxBytes)
    throw new AgentProtocolError(
      "the answer to guest-file-read is longer than was asked for",
    );
  return bytes.toString("latin1");
}
