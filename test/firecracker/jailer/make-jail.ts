import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { JailError, step } from "./jail-error.js";
import { usrLinks, type JailRequest } from "./jail-request.js";

/** Folders of the jail that come from the host: the server here is no static binary. */
const borrowedFolders = ["usr", "proc", ".contract-server"] as const;

/** Character devices that the jail gets: path, major and minor number. */
const devices = [
  ["/dev/net/tun", 10, 200],
  ["/dev/kvm", 10, 232],
  ["/dev/urandom", 1, 9],
] as const;

/**
 * Makes the jail's folders, devices and files as the real jailer does, and the places for what is borrowed from the host.
 * @throws JailError where something is in the way
 */
export function makeJail(request: JailRequest, pid: number): void {
  const { root, uid, gid, execFile, execName } = request;
  const inside = (path: string): string => join(root, path);
  step(`Failed to create directory ${root}`, () =>
    mkdirSync(root, { recursive: true }),
  );
  step(`Failed to copy ${execFile} to ${inside(execName)}`, () => {
    copyFileSync(execFile, inside(execName));
  });
  for (const folder of ["/", "/dev", "/dev/net", "/run"])
    step(`Failed to create directory ${folder}`, () => {
      mkdirSync(inside(folder), { recursive: true });
      chmodSync(inside(folder), 0o700);
      chownSync(inside(folder), uid, gid);
    });
  for (const [path, major, minor] of devices)
    makeDevice(inside(path), path, major, minor, uid, gid);
  for (const folder of borrowedFolders)
    mkdirSync(inside(folder), { recursive: true });
  for (const link of usrLinks())
    if (!existsSync(inside(link))) symlinkSync(`usr/${link}`, inside(link));
  const pidFile = `/${execName}.pid`;
  step(`Failed to open file ${pidFile}`, () => {
    writeFileSync(inside(pidFile), String(pid), { flag: "wx" });
  });
}

function makeDevice(
  path: string,
  shown: string,
  major: number,
  minor: number,
  uid: number,
  gid: number,
): void {
  if (existsSync(path))
    throw new JailError(
      `Failed to create ${shown} via mknod inside the jail: File exists (os error 17)`,
    );
  step(`Failed to create ${shown} via mknod inside the jail`, () =>
    execFileSync("mknod", [
      ...["-m", "600", path, "c", String(major), String(minor)],
    ]),
  );
  chownSync(path, uid, gid);
}
