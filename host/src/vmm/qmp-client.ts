import { connect, type Socket } from "node:net";

/** Longest message accepted from QEMU, bytes; its answers to our commands have a few hundred. */
const mostBytes = 1024 * 1024;

/**
 * Runs one command on a QEMU monitor and hangs up: the monitor serves one client at a time.
 * @returns the value of the answer's `return`
 * @throws Error when there is no monitor, it refuses, or `signal` aborts
 * @see QEMU, docs/interop/qmp-spec
 */
export async function qmpCommand(
  socketPath: string,
  command: string,
  signal: AbortSignal,
): Promise<unknown> {
  const socket = connect(socketPath);
  try {
    const messages = readMessages(socket, signal);
    await nextMessage(messages, "QMP");
    socket.write(`${JSON.stringify({ execute: "qmp_capabilities" })}\n`);
    await nextMessage(messages, "return");
    socket.write(`${JSON.stringify({ execute: command })}\n`);
    return (await nextMessage(messages, "return"))["return"];
  } finally {
    socket.destroy();
  }
}

type Message = Readonly<Record<string, unknown>>;

async function nextMessage(
  messages: AsyncGenerator<Message>,
  key: string,
): Promise<Message> {
  for (;;) {
    const { value, done } = await messages.next();
    if (done === true) throw new Error("the QEMU monitor hung up");
    const message: Message = value;
    if ("error" in message)
      throw new Error(`QEMU refused: ${JSON.stringify(message["error"])}`);
    // Events come in between at any time.
    if (key in message) return message;
  }
}

async function* readMessages(
  socket: Socket,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  const abort = (): void => {
    socket.destroy(new Error("no answer from the QEMU monitor in time"));
  };
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  let pending = "";
  try {
    socket.setEncoding("utf8");
    for await (const chunk of socket as AsyncIterable<string>) {
      pending += chunk;
      if (pending.length > mostBytes)
        throw new Error("the QEMU monitor sends too much");
      for (
        let end = pending.indexOf("\n");
        end >= 0;
        end = pending.indexOf("\n")
      ) {
        const parsed: unknown = JSON.parse(pending.slice(0, end));
        pending = pending.slice(end + 1);
        if (typeof parsed === "object" && parsed !== null)
          yield parsed as Message;
      }
    }
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
