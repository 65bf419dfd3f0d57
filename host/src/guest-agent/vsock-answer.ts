import { AgentProtocolError } from "./agent-errors.js";

/** `OK `, a port of 32 bits and the newline. */
const longestAnswer = "OK 4294967295\n".length;
const newline = 0x0a;

/**
 * Reads the one line with which a VMM answers `CONNECT <port>`, however it is cut, and keeps no more than that line.
 * @see Firecracker, docs/vsock.md: `OK <assigned host port>`
 */
export class VsockAnswer {
  #head = Buffer.alloc(0);

  /**
   * Takes bytes as they come.
   * @returns what came behind the line, which is the stream's own; `undefined` as long as the line has not ended
   * @throws {@link AgentProtocolError} when it is another line, or too long for one
   */
  push(chunk: Buffer): Buffer | undefined {
    const room = longestAnswer - this.#head.length;
    const at = chunk.subarray(0, room).indexOf(newline);
    this.#head = Buffer.concat([
      this.#head,
      chunk.subarray(0, at < 0 ? room : at),
    ]);
    if (at < 0) {
      if (this.#head.length < longestAnswer) return undefined;
      throw oddAnswer();
    }
    const port = /^OK (\d{1,10})$/.exec(this.#head.toString("latin1"))?.[1];
    if (port === undefined || Number(port) >= 2 ** 32) throw oddAnswer();
    return chunk.subarray(at + 1);
  }
}

function oddAnswer(): AgentProtocolError {
  return new AgentProtocolError(
    "the VMM's answer to a connection over vsock is odd",
  );
}
