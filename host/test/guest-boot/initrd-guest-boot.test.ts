import { readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import {
  newcEntry,
  newcTrailer,
  type GuestConfig,
  type Image,
  type VmRecord,
} from "@banger/core";
import { fakeImage, fakeVm } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { InitrdGuestBoot } from "../../src/guest-boot/initrd-guest-boot.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { readArchives } from "./newc-reader.js";
import { sampleGuest, sampleMachine } from "./sample-guest.js";

const never = new AbortController().signal;
const imageArchive = Buffer.concat([
  ...newcEntry({
    kind: "file",
    path: "init",
    mode: 0o755,
    content: "#!/bin/sh",
  }),
  newcTrailer(),
]);

async function setUp(
  initrd: Buffer = imageArchive,
): Promise<{ vm: VmRecord; image: Image; directory: string }> {
  const directory = await temporaryDirectory();
  const vmDirectory = await temporaryDirectory();
  await writeFile(`${directory}/initrd`, initrd);
  const image = fakeImage();
  return {
    vm: fakeVm({ runtime: { directory: vmDirectory } }),
    image: {
      ...image,
      files: { ...image.files, initrd: `${directory}/initrd` },
    },
    directory,
  };
}

describe("InitrdGuestBoot", () => {
  // An initramfs may be of any length, but for the kernel the next archive begins at a multiple of four.
  it.each([0, 1, 2, 3])(
    "appends the VM's archive to an initramfs with %d bytes behind its end",
    async (more) => {
      const initrd = Buffer.concat([imageArchive, Buffer.alloc(more)]);
      const { vm, image } = await setUp(initrd);
      const path = await new InitrdGuestBoot().write(
        vm,
        image,
        sampleGuest({
          files: {
            "/etc/hostname": { kind: "file", content: "x\n", mode: 0o644 },
          },
        }),
        sampleMachine,
        never,
      );
      const bytes = await readFile(path);
      expect(bytes.subarray(0, initrd.length).equals(initrd)).toBe(true);
      const archives = readArchives(bytes);
      expect(archives.map((archive) => archive[0]?.path)).toEqual([
        "init",
        "banger",
      ]);
      expect(archives[1]?.map((member) => member.path)).toContain(
        "banger/files/etc/hostname",
      );
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect(await readdir(vm.runtime.directory)).toEqual(["boot.initrd"]);
    },
  );

  it("carries the plugins' archives unchanged", async () => {
    const { vm, image, directory } = await setUp();
    const content = Buffer.from([0, 1, 2, 255, 10, 13, 0]);
    await writeFile(`${directory}/files.cpio`, content);
    const path = await new InitrdGuestBoot().write(
      vm,
      image,
      sampleGuest({
        archives: { "file-sync": { path: `${directory}/files.cpio` } },
      }),
      sampleMachine,
      never,
    );
    const member = readArchives(await readFile(path))[1]?.find(
      (entry) => entry.path === "banger/archives/file-sync.cpio",
    );
    expect(member?.content.equals(content)).toBe(true);
    expect(member?.mode).toBe(0o600);
  });

  it.each(["../x", "a/b", ".hidden", "", "a b"])(
    "refuses the archive name %j and writes nothing",
    async (name) => {
      const { vm, image, directory } = await setUp();
      await expect(
        new InitrdGuestBoot().write(
          vm,
          image,
          sampleGuest({
            archives: { [name]: { path: `${directory}/initrd` } },
          }),
          sampleMachine,
          never,
        ),
      ).rejects.toMatchObject({ code: "ERR_GUEST_PATH" });
      expect(await readdir(vm.runtime.directory)).toEqual([]);
    },
  );

  it("refuses what would not fit into the guest's memory", async () => {
    const { vm, image } = await setUp();
    const files = (bytes: number): GuestConfig["files"] => ({
      "/big": { kind: "file", content: new Uint8Array(bytes), mode: 0o644 },
    });
    const small = { ...sampleMachine, memoryMiB: 16 };
    const write = (bytes: number): Promise<string> =>
      new InitrdGuestBoot().write(
        vm,
        image,
        sampleGuest({ files: files(bytes) }),
        small,
        never,
      );
    await expect(write(4 * 2 ** 20)).rejects.toMatchObject({
      code: "ERR_GUEST_CONFIG_TOO_LARGE",
      kind: "usage",
    });
    expect(await readdir(vm.runtime.directory)).toEqual([]);
    await write(3 * 2 ** 20);
  });

  it("writes the same bytes for the same configuration", async () => {
    const { vm, image } = await setUp();
    const write = async (): Promise<Buffer> =>
      readFile(
        await new InitrdGuestBoot().write(
          vm,
          image,
          sampleGuest(),
          sampleMachine,
          never,
        ),
      );
    expect((await write()).equals(await write())).toBe(true);
  });

  it("is cancelled by an abort and leaves no half file", async () => {
    const { vm, image } = await setUp();
    await expect(
      new InitrdGuestBoot().write(
        vm,
        image,
        sampleGuest(),
        sampleMachine,
        AbortSignal.abort(),
      ),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await readdir(vm.runtime.directory)).toEqual([]);
  });
});

it("says that the disk is full, and leaves nothing", async () => {
  const { vm, image } = await setUp();
  const { directory } = vm.runtime;
  await symlink("/dev/full", `${directory}/boot.initrd.new`);
  await expect(
    new InitrdGuestBoot().write(vm, image, sampleGuest(), sampleMachine, never),
  ).rejects.toMatchObject({ code: "ERR_DISK_FULL" });
  expect(await readdir(directory)).toEqual([]);
});
