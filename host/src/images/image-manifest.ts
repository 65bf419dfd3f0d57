import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Image } from "@banger/core";
import { z } from "zod";
import { parseJson } from "../files/parse-json.js";

/** `manifest.json` of an image directory; the files' names are fixed. */
const imageManifestSchema = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,80}$/),
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  createdAt: z.iso.datetime(),
  distribution: z.string().max(200),
  architecture: z.string().max(32),
  kernelVersion: z.string().max(200),
  sizeBytes: z.number().int().nonnegative(),
  rootSizeBytes: z.number().int().positive(),
  workSeed: z.boolean(),
  // Images from before there were two have the first.
  agentTransports: z
    .array(z.enum(["virtio-serial", "vsock"]))
    .default(["virtio-serial"]),
});

export type ImageManifest = z.output<typeof imageManifestSchema>;

/** Names of an image's files in its directory. */
export const imageFiles = {
  manifest: "manifest.json",
  rootfs: "rootfs.ext4",
  kernel: "vmlinuz",
  initrd: "initrd",
  workSeed: "work-seed.tar",
} as const;

/** The image in a directory; `undefined` when its manifest is missing, not valid, or names another directory. */
export async function readImage(directory: string): Promise<Image | undefined> {
  let text: string;
  try {
    text = await readFile(`${directory}/${imageFiles.manifest}`, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  const manifest = imageManifestSchema.safeParse(parseJson(text)).data;
  if (manifest?.id !== basename(directory)) return undefined;
  const { version: _version, workSeed, ...facts } = manifest;
  return {
    ...facts,
    files: {
      rootfs: `${directory}/${imageFiles.rootfs}`,
      kernel: `${directory}/${imageFiles.kernel}`,
      initrd: `${directory}/${imageFiles.initrd}`,
      ...(workSeed ? { workSeed: `${directory}/${imageFiles.workSeed}` } : {}),
    },
  };
}
