import { appendFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLog } from "../../src/commands/read-log.js";
import { temporaryDirectory } from "../temporary-directory.js";

const never = new AbortController().signal;

async function tail(text: string, lines: number): Promise<string> {
  const file = join(await temporaryDirectory(), "log");
  await writeFile(file, text);
  let read = "";
  for await (const bytes of readLog(file, {
    lines,
    follow: false,
    signal: never,
  }))
    read += bytes.toString();
  return read;
}

describe("readLog", () => {
  it("gives the last lines", async () => {
    expect(await tail("a\nb\nc\n", 2)).toBe("b\nc\n");
    expect(await tail("a\nb\n", 9)).toBe("a\nb\n");
    expect(await tail("\n\n", 1)).toBe("\n");
    expect(await tail("a\nunfinished", 1)).toBe("unfinished");
    expect(await tail("", 5)).toBe("");
  });

  it("follows, also into a new file", async () => {
    const file = join(await temporaryDirectory(), "log");
    const abort = new AbortController();
    const reading = readLog(file, {
      lines: 5,
      follow: true,
      signal: abort.signal,
    });
    const next = async (): Promise<string> =>
      String(((await reading.next()) as { value: Buffer }).value);
    await writeFile(file, "one\n");
    expect(await next()).toBe("one\n");
    await appendFile(file, "two\n");
    expect(await next()).toBe("two\n");
    await rename(file, `${file}.1`);
    await writeFile(file, "three is longer\n");
    expect(await next()).toBe("three is longer\n");
    const reason = new Error("enough");
    abort.abort(reason);
    await expect(reading.next()).rejects.toBe(reason);
  });
});
