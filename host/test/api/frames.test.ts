import { describe, expect, it } from "vitest";
import {
  Channel,
  encodeControl,
  encodeFrame,
  FrameDecoder,
  mostFrameBytes,
  type Frame,
} from "../../src/api/frames.js";

function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("FrameDecoder", () => {
  it("decodes the same from any split of any sequence", () => {
    const random = randomNumbers(7);
    for (let round = 0; round < 300; round++) {
      const frames: Frame[] = Array.from({ length: random(8) }, () => ({
        channel: 1 + random(4),
        payload: Buffer.from(
          Array.from({ length: random(40) }, () => random(256)),
        ),
      }));
      const bytes = Buffer.concat(
        frames.map(({ channel, payload }) =>
          encodeFrame(channel as 1, payload),
        ),
      );
      const decoder = new FrameDecoder();
      const decoded: Frame[] = [];
      for (let at = 0; at < bytes.length;) {
        const next = at + random(1 + random(60));
        decoded.push(...decoder.push(bytes.subarray(at, next)));
        at = next;
      }
      expect(decoded, `round ${String(round)}`).toEqual(frames);
    }
  });

  it("takes the largest frame and refuses a larger one before it arrives", () => {
    const largest = encodeFrame(Channel.stdin, Buffer.alloc(mostFrameBytes));
    expect(new FrameDecoder().push(largest)[0]?.payload.length).toBe(
      mostFrameBytes,
    );
    const head = Buffer.from([1, 0, 0, 0, 0]);
    head.writeUInt32BE(mostFrameBytes + 1, 1);
    expect(() => new FrameDecoder().push(head)).toThrow(RangeError);
    head.writeUInt32BE(0xffff_ffff, 1);
    expect(() => new FrameDecoder().push(head)).toThrow(RangeError);
  });
});

it("has the layout that the protocol promises", () => {
  expect(encodeFrame(Channel.stderr, Buffer.from("ab"))).toEqual(
    Buffer.from([3, 0, 0, 0, 2, 97, 98]),
  );
  expect(encodeControl({ type: "eof" }).toString("latin1")).toBe(
    '\u0004\0\0\0\u000e{"type":"eof"}',
  );
});
