import type { GuestEgress, Logger } from "@banger/core";
import type { Guest, Guests } from "./guests.js";
import type { Lookup } from "./lookup.js";
import type { Query, Question } from "./query.js";
import { bareReply, Rcode, type Reply } from "./reply.js";
import { Type } from "./resource-record.js";
import type { UpstreamAnswer } from "./upstream-message.js";

/** Longest wait for whoever lets guests out to learn of an answer, ms. */
const announceMs = 3_000;

/** Names that no name server of the world has anything to say about. @see RFC 6761, RFC 6762, RFC 7686 */
const localDomains = ["local", "localhost", "invalid", "test", "onion"];

/** Answers guests' questions for names that are not ours, for those who may have them resolved, by asking others. */
export class Forwarder {
  readonly #guests: Guests;
  readonly #lookup: Lookup;
  readonly #egress: Pick<GuestEgress, "mayResolve" | "resolved">;
  readonly #logger: Logger;

  constructor(options: {
    readonly guests: Guests;
    readonly lookup: Lookup;
    readonly egress: Pick<GuestEgress, "mayResolve" | "resolved">;
    readonly logger: Logger;
  }) {
    this.#guests = options.guests;
    this.#lookup = options.lookup;
    this.#egress = options.egress;
    this.#logger = options.logger;
  }

  /**
   * Never throws or rejects.
   * @param query with one question of the class IN, outside of our zones
   * @param address of whoever asks
   */
  answer(
    query: Query,
    question: Question,
    address: string,
  ): Reply | Promise<Reply> {
    const guest = this.#guests.find(address);
    if (!guest) return bareReply(Rcode.refused);
    // Not a name that a rule could be about, and nothing that was refused.
    if (isLocal(question)) return bareReply(Rcode.nameError, true);
    const name = nameOf(question);
    if (
      name === undefined ||
      !query.recursionDesired ||
      isMeta(question.type) ||
      !this.#egress.mayResolve(guest.ip, name)
    )
      return bareReply(Rcode.refused, true);
    // Guests have no IPv6: an address they cannot reach would cost them time, and us a question.
    if (question.type === Type.aaaa) return bareReply(Rcode.noError, true);
    if (!this.#guests.hasRoom(guest))
      return bareReply(Rcode.serverFailure, true);
    return this.#answerFor(guest, name, question);
  }

  async #answerFor(
    guest: Guest,
    name: string,
    question: Question,
  ): Promise<Reply> {
    guest.asking++;
    try {
      const answer =
        this.#lookup.remembered(question) ??
        (await this.#lookup.find(question, () => guest.upstream.take()));
      if (!answer || !(await this.#announce(guest.ip, name, answer)))
        return bareReply(Rcode.serverFailure, true);
      const { rcode, answers, authorities } = answer;
      return { ...bareReply(rcode, true), answers, authorities };
    } finally {
      guest.asking--;
    }
  }

  /** @returns may the guest have it? An address that it is not let out to would only puzzle it. */
  async #announce(
    guestIp: string,
    name: string,
    { answers }: UpstreamAnswer,
  ): Promise<boolean> {
    const found = answers.filter(({ type }) => type === Type.a);
    if (found.length === 0) return true;
    const addresses = found.map(({ data }) => data.join("."));
    const ttlSeconds = Math.min(...answers.map((record) => record.ttlSeconds));
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(resolve, announceMs, false);
      });
      const told = this.#egress
        .resolved({ guestIp, name, addresses, ttlSeconds })
        .then(() => true);
      const done = await Promise.race([told, late]);
      if (!done) this.#logger.warn("Answer is not announced in time", { name });
      return done;
    } catch (error) {
      this.#logger.warn("Answer cannot be announced", { name, error });
      return false;
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * The name as rules for names are written.
 * @returns `undefined` for one that has no such form: a dot or anything unprintable within a label would make it look like another
 */
function nameOf({ labels }: Question): string | undefined {
  return labels.every((label) => /^[!-\-/-~]+$/.test(label))
    ? labels.join(".").toLowerCase()
    : undefined;
}

/** Types that are no data of a name, and ANY, which asks for more than anybody needs (RFC 8482). */
function isMeta(type: number): boolean {
  return type === 0 || type === Type.opt || (type >= 128 && type <= 255);
}

/** Whoever asks for the address of a name of one label means a machine nearby, whose name no other server has. */
function isLocal({ labels, type }: Question): boolean {
  const isBare = labels.length === 1 && (type === Type.a || type === Type.aaaa);
  return isBare || localDomains.includes(labels.at(-1)?.toLowerCase() ?? "");
}
