import { readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Check } from "@banger/core";
import { fakeImage } from "@banger/core/testing";
import { expect, it } from "vitest";
import type { BestRootDisk } from "../../src/disks/root-disk-probe.js";
import { rootDiskCheck } from "../../src/doctor/root-disk-check.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const noReflink = { reason: "no blocks are shared", fix: "move to btrfs" };
const noSnapshot = { reason: "there is no dmsetup", fix: "install dmsetup" };

async function check(best: BestRootDisk, isBuilt = true): Promise<Check> {
  const directory = await temporaryDirectory();
  const rootfs = join(directory, "rootfs.ext4");
  await writeFile(rootfs, Buffer.alloc(2 ** 20, 1));
  await truncate(rootfs, 2 ** 32);
  let forgotten = false;
  const found = await rootDiskCheck(
    {
      rootDiskProbe: {
        best: async (format, place, image) => {
          expect([forgotten, format, place, image]).toEqual([
            true,
            "raw",
            directory,
            isBuilt ? rootfs : undefined,
          ]);
          return best;
        },
        forget: () => {
          forgotten = true;
        },
      },
      directory,
    },
    isBuilt
      ? fakeImage({ files: { ...fakeImage().files, rootfs } })
      : undefined,
  );
  expect(await readdir(directory)).toEqual(["rootfs.ext4"]);
  return found;
}

it.each([
  ["reflink", [], /raw \(firecracker\): .*shares the image's blocks/],
  ["snapshot", [noReflink], /snapshot .*gets full, as no blocks are shared$/],
] as const)("says what a %s costs", async (strategy, obstacles, text) => {
  const found = await check({ strategy, obstacles });
  expect(found).toMatchObject({ id: "host.root-disk", status: "pass" });
  expect(found.detail).toMatch(/^qcow2: an overlay .*made at once/);
  expect(found.detail).toMatch(text);
  expect(found.fix).toBeUndefined();
});

it("says how large and slow copies of what the image holds are, and how to get better", async () => {
  const best: BestRootDisk = {
    strategy: "copy",
    obstacles: [noReflink, noSnapshot],
  };
  const found = await check(best);
  expect(found.status).toBe("pass");
  expect(found.detail).toMatch(
    /a copy of the image, 1 MiB and about \d+\.\d s for each VM, as no blocks are shared, and there is no dmsetup$/,
  );
  expect(found.fix).toBe("move to btrfs; or: install dmsetup");
  expect((await check(best, false)).detail).toContain(
    "as large as what the image holds",
  );
});
