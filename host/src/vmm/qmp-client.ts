import { connect, type Socket } from "node:net";
import { VmmMonitorError } from "./vmm-errors.js";

/** Longest message accepted from QEMU, bytes; its answers to our commands have a few hundred. */
const mostBytes = 1024 * 1024;

/**
 * Runs one command on a QEMU monitor and hangs up: the monitor serves one client at a time.
 * @returns the value of the answer's `return`
 * @throws {@link VmmMonitorError} when it refuses, answers nonsense, hangs up or `signal` aborts; the system's own error when nobody
 *   listens at `socketPath`
 * @see QEMU, docs/interop/qmp-spec
 */
export async function qmpCommand(
  socketPath: string,
  command: string,
  signal: AbortSignal,
): Promise<unknown> {
  const socket = connect(socketPath);
  const messages = readMessages(socket, signal);
  try {
    await nextMessage(messages, "QMP");
    socket.write(`${JSON.stringify({ execute: "qmp_capabilities" })}\n`);
    await nextMessage(messages, "return");
    socket.write(`${JSON.stringify({ execute: command })}\n`);
    return (await nextMessage(messages, "return"))["return"];
  } finally {
    await messages.return(undefined);
    socket.destroy();
  }
}

type Message = Readonly<Record<string, unknown>>;

async function nextMessage(
  messages: AsyncGenerator<Message, undefined>,
  key: string,
): Promise<Message> {
  for (;;) {
    const next: IteratorResult<Message, undefined> = await messages.next();
    if (next.done === true) throw new VmmMonitorError("hung up");
    const message = next.value;
    if ("error" in message)
      throw new VmmMonitorError(
        `refused: ${JSON.stringify(message["error"]).slice(0, 500)}`,
      );
    // Events come in between at any time.
    if (key in message) return message;
  }
}

async function* readMessages(
  socket: Socket,
  signal: AbortSignal,
): AsyncGenerator<Message, undefined> {
  const abort = (): void => {
    socket.destroy(new VmmMonitorError("did not answer in time"));
  };
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  let pending = "";
  try {
    socket.setEncoding("utf8");
    for await (const chunk of socket as AsyncIterable<string>) {
      pending += chunk;
      if (pending.length > mostBytes)
        throw new VmmMonitorError("sends too much");
      for (
        let end = pending.indexOf("\n");
        end >= 0;
        end = pending.indexOf("\n")
      ) {
        const parsed = parseLine(pending.slice(0, end));
        pending = pending.slice(end + 1);
        if (typeof parsed === "object" && parsed !== null)
          yield parsed as Message;
      }
    }
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new VmmMonitorError("sent a line that is no JSON", error);
    throw error;
  }
}
