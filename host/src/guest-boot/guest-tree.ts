import {
  BangerError,
  driveDevice,
  newcEntry,
  SlotConflictError,
  type GuestConfig,
  type GuestFile,
  type MachineConfig,
} from "@banger/core";

export class GuestPathError extends BangerError {
  override readonly code = "ERR_GUEST_PATH";
  constructor(path: string, problem: string) {
    super(`${JSON.stringify(path)} is no usable guest path: ${problem}`, {
      hint: "Use an absolute path without `..`, white space or control characters",
    });
  }
}

/** Directories whose modes differ from 0755 when we make them or lay something below them. */
const directoryModes: Readonly<Record<string, number>> = {
  "/root": 0o700,
  "/tmp": 0o1777,
  "/var/tmp": 0o1777,
};

/**
 * The guest configuration as entries of a cpio archive, as the initramfs script reads it: `/banger/mounts`, `/banger/network` and the
 * tree `/banger/files`. Pure.
 * @throws {@link GuestPathError}, and SlotConflictError for a unit that would replace one of the files
 */
export function guestEntries(
  guest: GuestConfig,
  machine: MachineConfig,
): readonly Uint8Array[] {
  const files = withUnits(guest);
  const table = (path: string, content: string): readonly Uint8Array[] =>
    newcEntry({ kind: "file", path, mode: 0o600, content });
  return [
    ...newcEntry({ kind: "directory", path: "banger", mode: 0o700 }),
    ...table("banger/mounts", mountTable(guest, machine)),
    ...table(
      "banger/network",
      `eth0 ${guest.network.address} ${guest.network.gateway}\n`,
    ),
    ...fileEntries(files),
  ];
}

function mountTable(guest: GuestConfig, machine: MachineConfig): string {
  return Object.entries(guest.mounts)
    .map(([target, { drive, fsType, options }]) => {
      checkGuestPath(target);
      for (const option of options) {
        if (!/^[A-Za-z0-9_=.-]+$/.test(option))
          throw new GuestPathError(option, "mount option");
      }
      return `${driveDevice(machine, drive)} ${target} ${fsType} ${["rw", ...options].join(",")}\n`;
    })
    .join("");
}

function unitFiles(guest: GuestConfig): Readonly<Record<string, GuestFile>> {
  const files: Record<string, GuestFile> = {};
  for (const [name, { content, wantedBy }] of Object.entries(guest.units)) {
    const path = `/etc/systemd/system/${name}`;
    files[path] = { kind: "file", content, mode: 0o644 };
    if (wantedBy !== undefined) {
      files[`/etc/systemd/system/${wantedBy}.wants/${name}`] = {
        kind: "symlink",
        target: path,
      };
    }
  }
  return files;
}

function withUnits(guest: GuestConfig): Readonly<Record<string, GuestFile>> {
  const units = unitFiles(guest);
  for (const path of Object.keys(units))
    if (Object.hasOwn(guest.files, path))
      throw new SlotConflictError("files", path, "a unit", "PLUGIN");
  return { ...guest.files, ...units };
}

function fileEntries(files: Readonly<Record<string, GuestFile>>): Uint8Array[] {
  const entries: Uint8Array[] = [];
  const made = new Set<string>();
  const directory = (path: string, mode: number): void => {
    if (made.has(path)) return;
    made.add(path);
    entries.push(...newcEntry({ kind: "directory", path, mode }));
  };
  directory("banger/files", 0o755);
  // Sorted, so that a directory's own entry comes before what is in it.
  for (const [guestPath, file] of Object.entries(files).sort(([a], [b]) =>
    a < b ? -1 : 1,
  )) {
    checkGuestPath(guestPath);
    for (const parent of parentPaths(guestPath)) {
      const above = files[parent];
      if (above && above.kind !== "directory")
        throw new GuestPathError(guestPath, `${parent} is no directory`);
      directory(`banger/files${parent}`, directoryModes[parent] ?? 0o755);
    }
    const path = `banger/files${guestPath}`;
    if (file.kind === "directory") directory(path, file.mode);
    else entries.push(...newcEntry({ ...file, path }));
  }
  return entries;
}

/** Directories above an absolute path, outermost first: `/a/b/c` has `/a` and `/a/b`. */
function parentPaths(path: string): string[] {
  const parts = path.split("/").slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
}

function checkGuestPath(path: string): void {
  const parts = path.split("/").slice(1);
  if (!path.startsWith("/"))
    throw new GuestPathError(path, "it is not absolute");
  // The initramfs script reads its tables word by word and line by line.
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\s\u0000-\u001f\u007f]/.test(path))
    throw new GuestPathError(path, "a character in it");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new GuestPathError(path, "it has an empty part, `.` or `..`");
  }
}
