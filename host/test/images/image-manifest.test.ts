import { mkdir, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { ImageManifest } from "../../src/images/image-manifest.js";
import { readImage } from "../../src/images/image-manifest.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const id = "debian-0123456789ab";
const valid: ImageManifest = {
  version: 1,
  id,
  name: "debian",
  createdAt: "2026-01-02T03:04:05.000Z",
  distribution: "Debian 12",
  architecture: "x86_64",
  kernelVersion: "6.1.0-1-cloud-amd64",
  sizeBytes: 1,
  rootSizeBytes: 2,
  workSeed: true,
  agentTransports: ["virtio-serial", "vsock"],
};

async function withManifest(text: string, name = id): Promise<string> {
  const directory = `${await temporaryDirectory()}/${name}`;
  await mkdir(directory);
  await writeFile(`${directory}/manifest.json`, text);
  return directory;
}

describe("readImage", () => {
  it("takes an image that names no transport for one from before there were two", async () => {
    const { agentTransports: _none, ...old } = valid;
    const image = await readImage(await withManifest(JSON.stringify(old)));
    expect(image?.agentTransports).toEqual(["virtio-serial"]);
  });

  it("reads a manifest and names the files beside it", async () => {
    const directory = await withManifest(JSON.stringify(valid));
    const { version: _version, workSeed: _workSeed, ...facts } = valid;
    expect(await readImage(directory)).toEqual({
      ...facts,
      files: {
        rootfs: `${directory}/rootfs.ext4`,
        kernel: `${directory}/vmlinuz`,
        initrd: `${directory}/initrd`,
        workSeed: `${directory}/work-seed.tar`,
      },
    });
  });

  it("names no seed that the image does not have", async () => {
    const directory = await withManifest(
      JSON.stringify({ ...valid, workSeed: false }),
    );
    expect((await readImage(directory))?.files).not.toHaveProperty("workSeed");
  });

  const bad: Record<string, unknown> = {
    "no object": [],
    "another version": { ...valid, version: 2 },
    "a field too many": { ...valid, files: { rootfs: "/etc/shadow" } },
    "an id that leads away": { ...valid, id: "../../etc" },
    "an id with a slash": { ...valid, id: "a/b" },
    "an id of another directory": { ...valid, id: "debian-000000000000" },
    "a name with a line feed": { ...valid, name: "debian\nx" },
    "a name that begins with a dash": { ...valid, name: "-rf" },
    "a long name": { ...valid, name: "a".repeat(64) },
    "a time that is none": { ...valid, createdAt: "yesterday" },
    "a negative size": { ...valid, sizeBytes: -1 },
    "a size that is no number": { ...valid, rootSizeBytes: "8G" },
    "an empty root": { ...valid, rootSizeBytes: 0 },
    "long text": { ...valid, kernelVersion: "6".repeat(1000) },
    "no seed": { ...valid, workSeed: undefined },
  };
  it.each(Object.entries(bad))(
    "takes %s for no image",
    async (_what, value) => {
      expect(
        await readImage(await withManifest(JSON.stringify(value))),
      ).toBeUndefined();
    },
  );

  it.each(["", "{", "null", "\u0000"])(
    "takes %j for no image",
    async (text) => {
      expect(await readImage(await withManifest(text))).toBeUndefined();
    },
  );

  it("takes a missing directory, one without a manifest, and a file for no image", async () => {
    const directory = await temporaryDirectory();
    await writeFile(`${directory}/file`, "");
    for (const path of [directory, `${directory}/none`, `${directory}/file`])
      expect(await readImage(path)).toBeUndefined();
  });
});
