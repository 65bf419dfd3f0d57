import type { Duplex } from "node:stream";
import { CancelledError } from "@banger/core";
import { AgentConnectionError } from "./agent-errors.js";
import type { AgentLimits } from "./agent-limits.js";
import { withLimit } from "./agent-time-limit.js";
import { connectUnixSocket } from "./unix-socket.js";
import { VsockAnswer } from "./vsock-answer.js";

/** Where the guest's agent listens: the same number is in the image's unit qemu-guest-agent-vsock.service. */
const agentVsockPort = 1024;

/**
 * Connects to the agent's vsock port through the unix socket that a VMM offers for its guest's vsock device.
 * @throws {@link AgentConnectionError} when there is no VMM or nobody listens in the guest, AgentProtocolError when the VMM's answer is
 *   odd, AgentTimeoutError when none comes in time, CancelledError after `signal`
 * @see Firecracker, docs/vsock.md: host-initiated connections
 */
export async function connectVsock(
  path: string,
  limits: AgentLimits,
  signal: AbortSignal,
): Promise<Duplex> {
  return withLimit(
    signal,
    limits.openTimeoutMs,
    "connecting over vsock",
    async (limited) => {
      const socket = await connectUnixSocket(path, limited);
      try {
        socket.write(`CONNECT ${agentVsockPort}\n`);
        await answered(socket, limited);
        return socket;
      } catch (error) {
        socket.on("error", () => undefined);
        socket.destroy();
        throw error;
      }
    },
  );
}

/** Resolves when the VMM's line was read. What came behind it is still in the stream, whose next reader gets it first. */
function answered(stream: Duplex, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const answer = new VsockAnswer();
    const settle = (error?: unknown): void => {
      signal.removeEventListener("abort", onAbort);
      stream.off("readable", onReadable);
      stream.off("end", onClose);
      stream.off("close", onClose);
      stream.off("error", onClose);
      if (error === undefined) resolve();
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what the answer's reader threw
      else reject(error);
    };
    const onReadable = (): void => {
      try {
        const chunk = stream.read() as Buffer | null;
        const rest = chunk ? answer.push(chunk) : undefined;
        if (!rest) return;
        if (rest.length > 0) stream.unshift(rest);
        settle();
      } catch (error) {
        settle(error);
      }
    };
    const onClose = (cause?: Error): void =>
      settle(
        new AgentConnectionError("nobody listens on the guest's vsock port", {
          cause,
        }),
      );
    const onAbort = (): void =>
      settle(new CancelledError("connecting over vsock", signal.reason));
    stream.on("readable", onReadable);
    stream.on("end", onClose);
    stream.on("close", onClose);
    stream.on("error", onClose);
    signal.addEventListener("abort", onAbort);
    if (signal.aborted) onAbort();
  });
}
