import {
  appendFile,
  open,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { MetricsFile } from "../../../src/vmm/firecracker/metrics-file.js";
import { parseMetricsLine } from "../../../src/vmm/firecracker/metrics.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";

/** A line of Firecracker's, in which `n` bytes went through everything. */
function line(n: number, padding = ""): string {
  return `${JSON.stringify({
    utc_timestamp_ms: 1541591155180,
    block: { read_bytes: n, write_bytes: n, flush_count: 1 },
    block_root: { read_bytes: n, write_bytes: n },
    net: { rx_bytes_count: n, tx_bytes_count: n },
    net_net0: { rx_bytes_count: n, tx_bytes_count: n },
    padding,
  })}\n`;
}

const all = (n: number): unknown => ({
  diskReadBytes: n,
  diskWrittenBytes: n,
  networkReceivedBytes: n,
  networkSentBytes: n,
});

async function setUp(): Promise<{
  path: string;
  notePath: string;
  reader: (pid?: number) => MetricsFile;
}> {
  const directory = await temporaryDirectory();
  const path = `${directory}/metrics`;
  const notePath = `${directory}/totals.json`;
  await writeFile(path, "");
  return {
    path,
    notePath,
    reader: (pid = 7) =>
      new MetricsFile({ path, notePath, writer: { pid, pidStartTicks: 9 } }),
  };
}

describe("parseMetricsLine", () => {
  it("takes the sums over all devices", () => {
    expect(parseMetricsLine(line(5))).toEqual(all(5));
    expect(parseMetricsLine(`\0\0\0${line(5)}`)).toEqual(all(5));
  });

  it.each([
    ["nothing", ""],
    ["half an object", "{"],
    ["null", "null"],
    ["a list", "[]"],
    ["no devices", "{}"],
    ["a hole", "\0\0"],
    ["numbers for devices", '{"block": 1, "net": 2}'],
    ["a negative number", line(-1)],
    ["a fraction", line(0.5)],
    ["a text for a number", line(1).replace(":1,", ':"1",')],
    ["an infinite number", line(1).replace(":1,", ":1e999,")],
    ["a number that is not exact", line(1).replace(":1,", ":1e300,")],
    ["only one of two counters", line(1).replace("tx_bytes", "tx")],
  ])("takes %s for no line", (_, text) => {
    expect(parseMetricsLine(text)).toBeUndefined();
  });
});

describe("MetricsFile", () => {
  it("sums up lines as they come, and waits for the end of the last one", async () => {
    const { path, reader } = await setUp();
    const file = reader();
    expect(await file.read()).toEqual(all(0));
    await appendFile(path, line(1) + line(2) + line(4).slice(0, 30));
    expect(await file.read()).toEqual(all(3));
    await appendFile(path, line(4).slice(30));
    expect(await file.read()).toEqual(all(7));
    expect(await Promise.all([file.read(), file.read()])).toEqual([
      all(7),
      all(7),
    ]);
    expect(await reader().read()).toEqual(all(7));
  });

  it("passes over garbage and lines that are too long", async () => {
    const { path, reader } = await setUp();
    const garbage = Buffer.alloc(1000, 0xff).toString("latin1");
    await writeFile(path, `${line(1)}${garbage}\n\n{}\n${line(2)}`);
    await appendFile(path, line(100, "x".repeat(600_000)));
    await appendFile(path, line(4));
    const file = reader();
    expect(await file.read()).toEqual(all(7));
    await appendFile(path, "y".repeat(700_000));
    expect(await file.read()).toEqual(all(7));
    await appendFile(path, `${line(100)}${line(8)}`);
    expect(await file.read()).toEqual(all(15));
  });

  it("goes on when the file was emptied and its writer appends", async () => {
    const { path, reader } = await setUp();
    const file = reader();
    await writeFile(path, line(1) + line(2));
    await file.read();
    await truncate(path, 0);
    await appendFile(path, line(4));
    expect(await file.read()).toEqual(all(7));
  });

  it("goes on when the file was emptied and its writer does not append", async () => {
    const { path, reader } = await setUp();
    const file = reader();
    const writer = await open(path, "r+");
    await writer.write(line(1, "x".repeat(200_000)));
    await file.read();
    await truncate(path, 0);
    await writer.write(line(2));
    expect(await file.read()).toEqual(all(3));
    // Without a note it knows of nothing before the hole.
    expect(await reader().read()).toEqual(all(2));
    await truncate(path, 0);
    expect(await file.read()).toEqual(all(3));
    await writer.write(line(4));
    await writer.close();
    expect(await file.read()).toEqual(all(7));
  });

  it("remembers in a note what an emptied file had, for the same process only", async () => {
    const { path, notePath, reader } = await setUp();
    const padding = "x".repeat(100_000);
    const lines = Array.from({ length: 12 }, () => line(1, padding));
    await writeFile(path, lines.join(""));
    expect(await reader().read()).toEqual(all(12));
    await truncate(path, 0);
    await appendFile(path, line(1));
    expect(await reader().read()).toEqual(all(13));
    expect(await reader(8).read()).toEqual(all(1));
    for (const damaged of ["", "{", "[]", '{"pid":7,"pidStartTicks":9}']) {
      await writeFile(notePath, damaged);
      expect(await reader().read()).toEqual(all(1));
    }
    await writeFile(
      notePath,
      JSON.stringify({
        pid: 7,
        pidStartTicks: 9,
        offset: -1,
        totals: all(5),
      }),
    );
    expect(await reader().read()).toEqual(all(1));
  });

  it("stays a number that can be counted with", async () => {
    const { path, reader } = await setUp();
    await writeFile(path, line(Number.MAX_SAFE_INTEGER).repeat(3));
    expect(await reader().read()).toEqual(all(Number.MAX_SAFE_INTEGER));
  });

  it("does not follow a link in the file's place", async () => {
    const { path, reader } = await setUp();
    await writeFile(`${path}2`, line(1));
    await rm(path);
    await symlink(`${path}2`, path);
    await expect(reader().read()).rejects.toMatchObject({ code: "ELOOP" });
    await rm(path);
    await expect(reader().read()).rejects.toMatchObject({ code: "ENOENT" });
  });
});
