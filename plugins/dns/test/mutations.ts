import fc from "fast-check";
import type { Packet } from "dns-packet";
import { ask, opt } from "./messages.js";

const seeds: readonly Buffer[] = [
  ask("calm-otter.vm"),
  ask("nobody.vm", "AAAA"),
  ask("vm", "ANY", { additionals: [opt()] }),
  ask("web.vm", "A", { additionals: [opt({ ednsVersion: 1 })] }),
  ask("example.com", "MX", { flags: 0x0100 }),
  ask("web.vm", "A", {
    answers: [{ type: "TXT", name: "web.vm", data: "text" }],
  } satisfies Packet),
];

// Unbiased, or nearly every fault would be in the header's first bytes.
const position = fc.noBias(fc.nat());
const mutation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("set" as const),
      at: position,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 2 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("insert" as const),
      at: position,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 80 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("cut" as const), at: position }),
  },
);

/** A good query with up to three faults. */
export const mutatedQuery: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.constantFrom(...seeds),
    fc.array(mutation, { minLength: 1, maxLength: 3 }),
  )
  .map(([seed, mutations]) => {
    let message = Buffer.from(seed);
    for (const change of mutations) {
      const at = change.at % (message.length + 1);
      if (change.kind === "cut") message = message.subarray(0, at);
      else if (change.kind === "set")
        message.set(change.bytes.subarray(0, message.length - at), at);
      else
        message = Buffer.concat([
          message.subarray(0, at),
          change.bytes,
          message.subarray(at),
        ]);
    }
    return message;
  });
