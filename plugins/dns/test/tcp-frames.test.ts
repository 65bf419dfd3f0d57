import { describe, expect, it } from "vitest";
import { frame, mostMessageBytes, TcpFrames } from "../src/tcp-frames.js";

describe("frames of a TCP stream", () => {
  it("come out whole however the bytes arrive", () => {
    const messages = [
      Buffer.from("one"),
      Buffer.alloc(0),
      Buffer.from("three"),
    ];
    const stream = Buffer.concat(messages.map(frame));
    for (let size = 1; size <= stream.length; size++) {
      const frames = new TcpFrames();
      const taken: unknown[] = [];
      for (let at = 0; at < stream.length; at += size) {
        frames.push(stream.subarray(at, at + size));
        for (let next; (next = frames.take());) taken.push(next);
      }
      expect(taken).toEqual(messages);
    }
  });

  it("are refused by their length alone, before the bytes are there", () => {
    const frames = new TcpFrames();
    frames.push(Buffer.from([(mostMessageBytes + 1) >> 8]));
    expect(frames.take()).toBeUndefined();
    frames.push(Buffer.from([(mostMessageBytes + 1) & 0xff]));
    expect(frames.take()).toBe("too-long");
  });
});
