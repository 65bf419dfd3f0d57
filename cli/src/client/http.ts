import type { IncomingMessage, RequestOptions } from "node:http";
import type { Duplex } from "node:stream";

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** sent as JSON */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** What comes back: an answer, or the connection itself when the server switched protocols. */
export type HttpAnswer =
  | { readonly kind: "response"; readonly response: IncomingMessage }
  | {
      readonly kind: "upgraded";
      readonly socket: Duplex;
      /** bytes that came with the answer */
      readonly head: Buffer;
    };

/** Sends one request over a connection of its own; rejects with the socket's error. */
export async function sendHttp(
  socketPath: string,
  { method, path, headers, body, signal }: HttpRequest,
): Promise<HttpAnswer> {
  const { request: open } = await import("node:http");
  const { connect } = await import("node:net");
  const text = body === undefined ? undefined : JSON.stringify(body);
  const options: RequestOptions = {
    method,
    path,
    headers: {
      host: "banger",
      ...(text === undefined
        ? {}
        : {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(text),
          }),
      ...headers,
    },
    // Neither an agent nor `socketPath`: both make node load what one request does not need.
    createConnection: () => connect(socketPath),
    ...(signal ? { signal } : {}),
  };
  return new Promise((resolve, reject) => {
    const request = open(options);
    request.on("response", (response) => {
      resolve({ kind: "response", response });
    });
    request.on("upgrade", (_response, socket, head) => {
      resolve({ kind: "upgraded", socket, head });
    });
    request.on("error", reject);
    request.end(text);
  });
}

/** Reads a body of at most 64 MiB. @throws RangeError when it is larger */
export async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > 64 * 1024 * 1024) throw new RangeError("the body is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
