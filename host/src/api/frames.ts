/**
 * The byte stream that shells and execs upgrade to: frames of one channel byte, four bytes of payload length (big endian) and the
 * payload. Channel numbers as in the first banger's `stdio_mux_v1`.
 */
export const Channel = { stdin: 1, stdout: 2, stderr: 3, control: 4 } as const;
export type ChannelNumber = (typeof Channel)[keyof typeof Channel];

/** Name of the protocol in the `Upgrade` header. */
export const streamProtocol = "banger-stream-v1";

/** Largest payload, bytes; more fails the stream. */
export const mostFrameBytes = 1024 * 1024;

export interface Frame {
  readonly channel: number;
  readonly payload: Buffer;
}

export function encodeFrame(
  channel: ChannelNumber,
  payload: Uint8Array,
): Buffer {
  const head = Buffer.allocUnsafe(5);
  head.writeUInt8(channel, 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

export function encodeControl(message: ControlMessage): Buffer {
  return encodeFrame(Channel.control, Buffer.from(JSON.stringify(message)));
}

/** What travels on the control channel. The client's first frame is `start`; the daemon's last is `exit` or `error`. */
export type ControlMessage =
  | {
      readonly type: "start";
      readonly argv?: readonly string[];
      readonly cwd?: string;
      readonly terminal?: {
        readonly type: string;
        readonly columns: number;
        readonly rows: number;
      };
    }
  /** the client's input has ended */
  | { readonly type: "eof" }
  | { readonly type: "resize"; readonly columns: number; readonly rows: number }
  | {
      readonly type: "exit";
      readonly exitCode?: number;
      readonly signal?: string;
    }
  | { readonly type: "error"; readonly error: unknown };

/** Cuts a byte stream into frames; bytes may arrive in any pieces. */
export class FrameDecoder {
  #pending: Buffer[] = [];
  #length = 0;

  /** @throws RangeError when a frame claims more than {@link mostFrameBytes} */
  push(chunk: Buffer): Frame[] {
    this.#pending.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#length < 5) return frames;
      const head = this.#peek(5);
      const size = head.readUInt32BE(1);
      if (size > mostFrameBytes)
        throw new RangeError(`a frame of ${String(size)} bytes`);
      if (this.#length < 5 + size) return frames;
      const all = this.#join();
      frames.push({
        channel: all.readUInt8(0),
        payload: all.subarray(5, 5 + size),
      });
      this.#pending = [all.subarray(5 + size)];
      this.#length -= 5 + size;
    }
  }

  #peek(length: number): Buffer {
    const [first] = this.#pending;
    return first && first.length >= length ? first : this.#join();
  }

  #join(): Buffer {
    const [first] = this.#pending;
    if (this.#pending.length === 1 && first) return first;
    const all = Buffer.concat(this.#pending);
    this.#pending = [all];
    return all;
  }
}
