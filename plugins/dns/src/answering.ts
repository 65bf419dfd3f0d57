import type { Forwarder } from "./forwarder.js";
import { parseQuery, type Query } from "./query.js";
import { bareReply, Rcode, renderReply, udpLimit } from "./reply.js";
import { decideInZones, type Zone } from "./zone.js";

/** Who sent a message, and how the reply gets back. */
export interface Client {
  /** IPv4 */
  readonly address: string;
  readonly transport: "udp" | "tcp";
}

/** Replies that are kept; each is of a message of 128 bytes at most. */
const mostKept = 2_048;
const mostKeptBytes = 128;

/** Bytes in, bytes out: our zones at once, everything else through the forwarder. */
export class Answering {
  readonly #zone: () => Zone;
  readonly #forwarder: Pick<Forwarder, "answer"> | undefined;
  /** message without its id -> reply: the same question has the same reply until the zone changes, but for the id */
  readonly #kept = new Map<string, Buffer>();
  #keptFor: number | undefined;

  /** @param forwarder without one everything outside of our zones is refused */
  constructor(zone: () => Zone, forwarder?: Pick<Forwarder, "answer">) {
    this.#zone = zone;
    this.#forwarder = forwarder;
  }

  /**
   * Answers one message. Takes any bytes, never throws or rejects.
   * @returns the reply, or `undefined` when none is due: a response, or a message that cannot be read
   */
  answer(
    message: Buffer,
    client: Client,
  ): Buffer | undefined | Promise<Buffer | undefined> {
    const zone = this.#zone();
    const key =
      message.length > 2 && message.length <= mostKeptBytes
        ? message.toString("latin1", 2)
        : undefined;
    const kept = this.#find(key, zone.serial);
    if (kept) {
      const reply = Buffer.from(kept);
      reply[0] = message[0] ?? 0;
      reply[1] = message[1] ?? 0;
      return reply;
    }
    const query = parseQuery(message);
    if (!query) return undefined;
    const decided = decideInZones(query, zone);
    if (decided === "outside") return this.#forward(query, client);
    const reply = renderReply(query, decided);
    if (key !== undefined) this.#keep(key, reply);
    return reply;
  }

  #forward(query: Query, client: Client): Buffer | Promise<Buffer> {
    const [question] = query.questions;
    const reply =
      question && this.#forwarder
        ? this.#forwarder.answer(query, question, client.address)
        : bareReply(Rcode.refused);
    const mostBytes =
      client.transport === "tcp" ? mostStreamBytes : udpLimit(query);
    return reply instanceof Promise
      ? reply.then((known) => renderReply(query, known, mostBytes))
      : renderReply(query, reply, mostBytes);
  }

  #find(key: string | undefined, serial: number): Buffer | undefined {
    if (this.#keptFor !== serial) {
      this.#kept.clear();
      this.#keptFor = serial;
    }
    return key === undefined ? undefined : this.#kept.get(key);
  }

  #keep(key: string, reply: Buffer): void {
    // Whoever asks for ever new names gains nothing from the old ones.
    if (this.#kept.size >= mostKept) this.#kept.clear();
    this.#kept.set(key, Buffer.from(reply));
  }
}

/** All that the length before a message can say (RFC 1035 §4.2.2). */
const mostStreamBytes = 65_535;
