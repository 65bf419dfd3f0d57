import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mutatedQuery } from "./mutations.js";
import { answerMessage, read, zone } from "./messages.js";

describe("any bytes at all", () => {
  it("never throw, and never get more than 512 bytes, a legible reply or none", () => {
    let answered = 0;
    const check = (bytes: Uint8Array): void => {
      const before = Buffer.from(bytes);
      const reply = answerMessage(bytes, zone);
      expect(before.equals(bytes)).toBe(true);
      if (!reply) return;
      answered++;
      expect(reply.length).toBeLessThanOrEqual(512);
      const { id, type, flag_ra: ra } = read(reply);
      if (id !== before.readUInt16BE(0) || type !== "response" || ra)
        throw new Error(`bad reply to ${before.toString("hex")}`);
    };
    fc.assert(fc.property(mutatedQuery, check), { numRuns: 25_000, seed: 53 });
    // Otherwise the mutations would be so wild that they test only the first length check.
    expect(answered).toBeGreaterThan(5_000);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 700 }), check), {
      numRuns: 5_000,
      seed: 53,
    });
  });

  it("gets through the largest message that says it has 65,535 of everything", () => {
    const message = Buffer.alloc(65_535);
    message.fill(0xff, 4, 12);
    expect(answerMessage(message, zone)).toBeUndefined();
    message.writeUInt16BE(1, 4);
    expect(answerMessage(message, zone)).toBeUndefined();
  });
});
