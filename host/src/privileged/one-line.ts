import type { Socket } from "node:net";

/** Why a connection did not bring its one line. */
export type LineProblem = "too-long" | "several" | "cut-off" | "late";

/** The bytes of the line without its end, or why there is none. */
export type OneLine =
  { readonly line: Buffer } | { readonly problem: LineProblem };

const newline = 0x0a;

/**
 * Reads the one line that a connection is to bring. Always resolves: a connection that breaks or ends first is `cut-off`. The socket stays
 * open, and flowing.
 */
export function readOneLine(
  socket: Socket,
  limits: { readonly mostBytes: number; readonly limitMs: number },
): Promise<OneLine> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (result: OneLine): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onGone).off("close", onGone);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      const end = chunk.indexOf(newline);
      if (size > limits.mostBytes) settle({ problem: "too-long" });
      else if (end === chunk.length - 1)
        settle({ line: Buffer.concat(chunks, size - 1) });
      else if (end !== -1) settle({ problem: "several" });
    };
    const onGone = (): void => {
      settle({ problem: "cut-off" });
    };
    const timer = setTimeout(() => {
      settle({ problem: "late" });
    }, limits.limitMs);
    socket.on("data", onData).on("end", onGone).on("close", onGone);
    if (socket.destroyed || socket.readableEnded) onGone();
  });
}
