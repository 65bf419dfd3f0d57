import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Install, VmId } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { ForeignFileError } from "../files/owned-file.js";
import { imageFiles } from "../images/image-manifest.js";
import { snapshotFile } from "./root-disk-files.js";

/** Which of the two files under a snapshot. */
export type SnapshotPart = "base" | "overlay";

/** Path of a file under a VM's snapshot. Pure. */
export function snapshotPartFile(
  { stateDirectory }: Pick<Install, "stateDirectory">,
  { vm, image }: { readonly vm: VmId; readonly image: string },
  part: SnapshotPart,
): string {
  return part === "base"
    ? join(stateDirectory, "images", image, imageFiles.rootfs)
    : join(stateDirectory, "vms", vm, snapshotFile);
}

/**
 * The same path as the kernel names it. The file need not exist.
 * @throws {@link ForeignFileError} when links of an owner who is not root lead out of the state directory: a device there is not ours
 */
export async function kernelNameOf(
  { stateDirectory, owner }: Pick<Install, "stateDirectory" | "owner">,
  file: string,
): Promise<string> {
  const resolved = await resolveLinks(file);
  const state = await resolveLinks(stateDirectory);
  if (owner.uid !== 0 && !resolved.startsWith(`${state}/`))
    throw new ForeignFileError(file, `leads out of ${state}`);
  return resolved;
}

/** The real path of what is there of a path, with the rest behind it. */
export async function resolveLinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(path);
    if (!hasErrorCode(error, "ENOENT", "ENOTDIR") || parent === path)
      throw error;
    return join(await resolveLinks(parent), basename(path));
  }
}
