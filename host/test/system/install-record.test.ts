import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { installTag } from "../../src/install-tag.js";
import {
  installOf,
  readInstallRecord,
  type InstallRecord,
} from "../../src/system/install-record.js";
import { readOwnInstall } from "../../src/system/own-install.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const record: InstallRecord = {
  format: 1,
  owner: { name: "ann", uid: 1000, gid: 1001, home: "/home/ann" },
  version: "1.0.0",
  build: "abcdefabcdef",
  program: "program-abcdefabcdef-01234567",
  installedAt: "2026-01-01T00:00:00.000Z",
  service: "systemd",
  plugins: ["@banger/plugin-nat", "stranger"],
  vmm: { firecracker: "/usr/bin/firecracker" },
  parents: [],
};

async function write(content: unknown): Promise<string> {
  const directory = `${await temporaryDirectory()}/etc`;
  await mkdir(directory, { mode: 0o755 });
  const file = `${directory}/install.json`;
  await writeFile(file, JSON.stringify(content), { mode: 0o644 });
  return file;
}

// A record is root's, so only root can make one.
describe.runIf(process.getuid?.() === 0)("the record of an install", () => {
  it("is read as it was written", async () => {
    const file = await write(record);
    expect(await readInstallRecord(file)).toEqual(record);
    expect(readOwnInstall(1000, file)).toEqual({
      service: "systemd",
      build: "abcdefabcdef",
    });
  });

  it("is nothing where there is none", async () => {
    const file = `${await temporaryDirectory()}/none/install.json`;
    expect(await readInstallRecord(file)).toBeUndefined();
    expect(readOwnInstall(1000, file)).toBeUndefined();
  });

  it("says what root carries requests out for", () => {
    expect(installOf(record)).toEqual({
      owner: { uid: 1000, gid: 1001 },
      stateDirectory: "/var/lib/banger/state",
      runDirectory: "/run/banger",
      tag: installTag("/var/lib/banger/state"),
    });
  });

  it.each([
    ["an owner who is root", { owner: { ...record.owner, uid: 0 } }],
    ["a key of a later version", { more: true }],
    ["a program elsewhere", { program: "../../../tmp/x" }],
    ["a VMM on a relative path", { vmm: { jailer: "jailer" } }],
    ["a package that is a path", { plugins: ["../x"] }],
  ])("is not believed with %s", async (_what, change) => {
    const file = await write({ ...record, ...change });
    await expect(readInstallRecord(file)).rejects.toMatchObject({
      code: "ERR_INSTALL_RECORD",
    });
  });

  it.each([
    ["others may write it", (file: string) => chmod(file, 0o646)],
    ["its group may write it", (file: string) => chmod(file, 0o664)],
    ["it is somebody else's", (file: string) => chown(file, 1000, 0)],
  ])("is not believed when %s", async (_what, spoil) => {
    const file = await write(record);
    await spoil(file);
    await expect(readInstallRecord(file)).rejects.toMatchObject({
      code: "ERR_INSTALL_RECORD",
    });
    expect(readOwnInstall(1000, file)).toBeUndefined();
  });

  it("is not believed in a directory that others may write, or behind a link", async () => {
    const file = await write(record);
    const link = `${await temporaryDirectory()}/install.json`;
    await symlink(file, link);
    await chmod(file.replace("/install.json", ""), 0o777);
    for (const each of [file, link])
      await expect(readInstallRecord(each)).rejects.toMatchObject({
        code: "ERR_INSTALL_RECORD",
      });
    expect(readOwnInstall(1000, link)).toBeUndefined();
  });

  it("is nobody's but the owner's, and never root's", async () => {
    const file = await write({ ...record, owner: { ...record.owner, uid: 0 } });
    expect(readOwnInstall(0, file)).toBeUndefined();
    expect(readOwnInstall(1000, await write({}))).toBeUndefined();
    expect(readOwnInstall(1001, await write(record))).toBeUndefined();
  });
});
