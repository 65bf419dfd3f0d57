import { writeFile } from "node:fs/promises";
import { CommandFailedError } from "@banger/core";
import { describe, expect, it } from "vitest";
import {
  asDiskFull,
  orDiskFull,
  requireFreeBytes,
} from "../../src/files/disk-full.js";

const full = { code: "ERR_DISK_FULL", kind: "unavailable" };
const withCode = (code: string): Error => Object.assign(new Error(), { code });
const command = { file: "mke2fs", args: [] };
const failed = (stderr: string): Error =>
  new CommandFailedError(command, "failed", { stderr });

describe("asDiskFull", () => {
  it.each([
    withCode("ENOSPC"),
    withCode("EDQUOT"),
    withCode("SQLITE_FULL"),
    failed("tar: x: Cannot write: No space left on device\nmore"),
    failed("qemu-img: x: Disk quota exceeded"),
    failed("E: You don't have enough free space in /var/cache/apt/archives/."),
  ])("knows %o", (error) => {
    expect(asDiskFull("it", error)).toMatchObject({ ...full, cause: error });
  });

  it.each([
    withCode("EIO"),
    failed("something else"),
    // Too many user namespaces, in the kernel's words.
    failed("unshare: unshare failed: No space left on device"),
    "no error",
  ])("leaves %o", (error) => {
    expect(asDiskFull("it", error)).toBe(error);
  });
});

it("says what was being done when the system refuses to write", async () => {
  await expect(
    orDiskFull("filling it", () => writeFile("/dev/full", "x")),
  ).rejects.toMatchObject({
    ...full,
    message: expect.stringContaining("filling it") as string,
    hint: expect.stringContaining("banger doctor") as string,
  });
});

it("refuses before the work begins", async () => {
  const free = () => Promise.resolve(2 ** 30);
  await requireFreeBytes("it", "/x", 2 ** 30, free);
  await expect(
    requireFreeBytes("it", "/x", 2 ** 30 + 1, free),
  ).rejects.toMatchObject(full);
  await requireFreeBytes("it", "/", 0);
});
