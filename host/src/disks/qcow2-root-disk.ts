import type { CommandRunner, Image, VmRecord } from "@banger/core";
import { ensureFile } from "./new-file.js";
import { rootDiskFile } from "./root-disk-files.js";

/** Makes the root disk as a qcow2 overlay whose backing file is the image's raw file system. Idempotent. @throws DiskFullError */
export async function ensureQcow2(
  commands: CommandRunner,
  vm: VmRecord,
  image: Image,
  signal: AbortSignal,
): Promise<void> {
  const { rootfs } = image.files;
  await ensureFile(
    rootDiskFile(vm, "qcow2"),
    `making the root disk of ${vm.name}`,
    async (half) => {
      const format = ["-q", "-f", "qcow2", "-F", "raw"];
      await commands.run({
        file: "qemu-img",
        args: ["create", ...format, "-b", rootfs, half],
        timeoutMs: 30_000,
        signal,
      });
    },
  );
}
