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
type Mutation =
  | {
      readonly kind: "set" | "insert";
      readonly at: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "cut"; readonly at: number };
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
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

/** One of these messages with up to three faults. */
export function mutated(seeds: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
    )
    .map(([seed, mutations]) => mutations.reduce(change, Buffer.from(seed)));
}

function change(message: Buffer, fault: Mutation): Buffer {
  const at = fault.at % (message.length + 1);
  switch (fault.kind) {
    case "cut":
      return message.subarray(0, at);
    case "set":
      message.set(fault.bytes.subarray(0, message.length - at), at);
      return message;
    case "insert":
      return Buffer.concat([
        message.subarray(0, at),
        fault.bytes,
        message.subarray(at),
      ]);
  }
}

/** A good query with up to three faults. */
export const mutatedQuery: fc.Arbitrary<Buffer> = mutated(seeds);
