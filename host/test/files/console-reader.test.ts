import { appendFile, mkdir, rm, truncate, writeFile } from "node:fs/promises";
import type { VmRecord } from "@banger/core";
import { fakeVm } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { ConsoleReader } from "../../src/files/console-reader.js";
import { temporaryDirectory } from "./temporary-directory.js";

async function setUp(text?: string | Buffer): Promise<{
  vm: VmRecord;
  log: string;
}> {
  const directory = `${await temporaryDirectory()}/vm`;
  await mkdir(directory);
  const log = `${directory}/console.log`;
  if (text !== undefined) await writeFile(log, text);
  return { vm: fakeVm({ runtime: { directory } }), log };
}

async function readOnce(vm: VmRecord, lines: number): Promise<string> {
  let text = "";
  const { signal } = new AbortController();
  for await (const piece of new ConsoleReader().read(vm, {
    lines,
    follow: false,
    signal,
  }))
    text += piece;
  return text;
}

function follow(vm: VmRecord): {
  until: (text: string) => Promise<string>;
  rest: () => Promise<IteratorResult<string>>;
  stop: () => void;
} {
  const abort = new AbortController();
  const pieces = new ConsoleReader().read(vm, {
    lines: 10,
    follow: true,
    signal: abort.signal,
  });
  let read = "";
  return {
    until: async (text) => {
      while (!read.includes(text)) {
        const piece = await pieces.next();
        if (piece.done === true) throw new Error(`ended after ${read}`);
        read += piece.value;
      }
      return read;
    },
    rest: () => pieces.next(),
    stop: () => {
      abort.abort();
    },
  };
}

describe("ConsoleReader", () => {
  it.each([
    ["a\nb\nc\n", 2, "b\nc\n"],
    ["a\nb\nc", 2, "b\nc"],
    ["a\nb\nc", 1, "c"],
    ["a\n\n\n", 2, "\n\n"],
    ["a\n", 10, "a\n"],
    ["", 10, ""],
  ])("of %j the last %d lines are %j", async (text, lines, expected) => {
    const { vm } = await setUp(text);
    expect(await readOnce(vm, lines)).toBe(expected);
  });

  it("reads nothing of a VM that has no log yet", async () => {
    const { vm } = await setUp();
    expect(await readOnce(vm, 10)).toBe("");
  });

  it("reads a bounded part of a large log, from the start of a line", async () => {
    const { vm } = await setUp(`${"ä".repeat(99)}\n`.repeat(40_000));
    const text = await readOnce(vm, 100_000);
    expect(text.length).toBeLessThan(4 * 2 ** 20);
    expect(new Set(text.trimEnd().split("\n"))).toEqual(
      new Set(["ä".repeat(99)]),
    );
  });

  it("follows what comes, until its caller has enough", async () => {
    const { vm, log } = await setUp("one\n");
    const reader = follow(vm);
    await reader.until("one\n");
    await appendFile(log, "two\n");
    expect(await reader.until("two\n")).toBe("one\ntwo\n");
    reader.stop();
    expect((await reader.rest()).done).toBe(true);
  });

  it("puts a character together that comes in two pieces", async () => {
    const bytes = Buffer.from("€\n");
    const { vm, log } = await setUp(
      Buffer.concat([Buffer.from("a"), bytes.subarray(0, 2)]),
    );
    const reader = follow(vm);
    await reader.until("a");
    await appendFile(log, bytes.subarray(2));
    expect(await reader.until("\n")).toBe("a€\n");
    reader.stop();
  });

  it("begins at the start of a log that was emptied", async () => {
    const { vm, log } = await setUp("a long first part\n");
    const reader = follow(vm);
    await reader.until("part\n");
    await truncate(log, 0);
    await appendFile(log, "new\n");
    await reader.until("new\n");
    reader.stop();
  });

  it("waits for the first start, and ends with the VM", async () => {
    const { vm, log } = await setUp();
    const reader = follow(vm);
    expect((await reader.rest()).value).toBe("");
    await writeFile(log, "hello\n");
    await reader.until("hello\n");
    await rm(vm.runtime.directory, { recursive: true });
    expect((await reader.rest()).done).toBe(true);
  });
});
