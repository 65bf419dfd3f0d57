import { readFile } from "node:fs/promises";
import { BangerError, newcEntry, newcTrailer } from "@banger/core";
import { isStaticProgram } from "./elf.js";
import { initramfsDirectory, readList } from "./recipe.js";

class BusyboxNotStaticError extends BangerError {
  override readonly code = "ERR_BUSYBOX_NOT_STATIC";
  override readonly kind = "unavailable";
  constructor(path: string) {
    super(
      `${path} is not statically linked, so it cannot be a guest's first program`,
      {
        hint: "Install Debian's package busybox-static",
      },
    );
  }
}

/** Busybox programs that the script calls. */
const programs =
  "sh mount mkdir rm insmod usleep sleep cpio find ip ln poweroff reboot sync switch_root".split(
    " ",
  );

/**
 * Our small initramfs: busybox, the few modules that a virtio guest needs before its root disk, and one script.
 * @param modulesDirectory `/lib/modules/<version>` of the guest's kernel, as a directory on the host
 * @returns a cpio archive, uncompressed: decompressing costs an emulated guest more than reading
 * @throws {@link BusyboxNotStaticError}
 */
export async function buildInitramfs(
  busyboxPath: string,
  modulesDirectory: string,
): Promise<Uint8Array> {
  const busybox = await readFile(busyboxPath);
  if (!isStaticProgram(busybox)) throw new BusyboxNotStaticError(busyboxPath);
  const modules = await readList(`${initramfsDirectory}/modules`);
  const directories = [
    "bin",
    "proc",
    "sys",
    "dev",
    "newroot",
    "lib",
    "lib/modules",
    "run",
  ];
  const parts = directories.flatMap((path) =>
    newcEntry({ kind: "directory", path, mode: 0o755 }),
  );
  const file = (
    path: string,
    mode: number,
    content: string | Uint8Array,
  ): void => {
    parts.push(...newcEntry({ kind: "file", path, mode, content }));
  };
  file("init", 0o755, await readFile(`${initramfsDirectory}/init`));
  file("bin/busybox", 0o755, busybox);
  for (const program of programs) {
    parts.push(
      ...newcEntry({
        kind: "symlink",
        path: `bin/${program}`,
        target: "busybox",
      }),
    );
  }
  const lines: string[] = [];
  for (const line of modules) {
    const [module = "", ...device] = line.split(" ");
    const name = module.slice(module.lastIndexOf("/") + 1);
    lines.push(`${[name, ...device].join(" ")}\n`);
    file(
      `lib/modules/${name}`,
      0o644,
      await readFile(`${modulesDirectory}/kernel/${module}`),
    );
  }
  file("modules", 0o644, lines.join(""));
  return Buffer.concat([...parts, newcTrailer()]);
}
