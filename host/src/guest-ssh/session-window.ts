import type { ClientChannel } from "ssh2";

/** What ssh2 1.17.0 keeps in a channel beside its documented interface. */
interface ChannelInternals {
  readonly incoming: { readonly state: string; readonly window: number };
  readonly outgoing: {
    readonly id: number;
    readonly state: string;
    readonly packetSize: number;
  };
  readonly _client: {
    readonly _protocol: {
      channelWindowAdjust(id: number, bytes: number): void;
    };
  };
}

/** Smallest packet that a guest may ask for; RFC 4253, section 6.1 wants 32 KiB. ssh2 loops for ever on 0. */
const minPacketBytes = 4 * 1024;

/**
 * Flow control of one session in ssh2's place. ssh2 opens the window again when either output is read, so a guest that
 * alternates between its outputs, or ignores the window, fills the host's memory. Here the guest may send again what was really
 * taken out of either output, and whoever sends more than it may breaks the protocol.
 */
export class SessionWindow {
  readonly #channel: ChannelInternals;
  readonly #step: number;
  #credit: number;
  #taken = 0;

  /** @param violated called when the guest does what SSH forbids; the connection must end then */
  constructor(channel: ClientChannel, violated: (what: string) => void) {
    const internals = channel as unknown as ChannelInternals;
    this.#channel = internals;
    const { window } = internals.incoming;
    this.#credit = window;
    this.#step = window / 4;
    // ssh2 now sees a window that never shrinks: it neither opens it nor drops data.
    Object.defineProperty(internals.incoming, "window", {
      get: () => window,
      set: () => undefined,
    });
    if (!(internals.outgoing.packetSize >= minPacketBytes))
      violated("the guest asks for packets without room");
    for (const output of [channel, channel.stderr]) {
      const push = output.push.bind(output);
      output.push = (chunk: Buffer | null) => {
        if (chunk === null) return push(chunk);
        this.#credit -= chunk.length;
        if (this.#credit < 0) {
          violated("the guest sends more than it may");
          return false;
        }
        return push(chunk);
      };
    }
  }

  /** Bytes left both outputs: the guest may send as many again. */
  take(bytes: number): void {
    this.#taken += bytes;
    const { incoming, outgoing, _client } = this.#channel;
    if (this.#taken < this.#step || incoming.state !== "open") return;
    if (outgoing.state !== "open" && outgoing.state !== "eof") return;
    this.#credit += this.#taken;
    _client._protocol.channelWindowAdjust(outgoing.id, this.#taken);
    this.#taken = 0;
  }
}
