import { chmod, chown, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  requireRootOwned,
  requireRootOwnedTree,
} from "../../src/files/root-owned.js";
import { temporaryDirectory } from "./temporary-directory.js";

const isRoot = process.getuid?.() === 0;
const foreignId = 65533;
const refused = { code: "ERR_NOT_ROOT_OWNED" };

/** A program of root's: `package/dist/index.js` and a link beside it. */
async function tree(): Promise<string> {
  const directory = join(await temporaryDirectory(), "program");
  await mkdir(join(directory, "package/dist"), { recursive: true });
  await writeFile(join(directory, "package/dist/index.js"), "");
  await symlink("package", join(directory, "link"));
  return directory;
}

describe.runIf(isRoot)("what root may trust", () => {
  it("is what root alone can change", async () => {
    const program = await tree();
    await requireRootOwned(program);
    await requireRootOwnedTree(program);
    await requireRootOwnedTree(join(program, "package/dist/index.js"));
    await requireRootOwned("/");
  });

  const spoilt: readonly {
    what: string;
    spoil: (program: string) => Promise<unknown>;
  }[] = [
    {
      what: "a file of somebody's",
      spoil: (program) =>
        chown(join(program, "package/dist/index.js"), foreignId, foreignId),
    },
    {
      what: "a file that its group may write",
      spoil: (program) => chmod(join(program, "package/dist/index.js"), 0o664),
    },
    {
      what: "a directory of somebody's",
      spoil: (program) => chown(join(program, "package"), foreignId, 0),
    },
    {
      what: "a directory that others may write",
      spoil: (program) => chmod(join(program, "package/dist"), 0o777),
    },
    {
      what: "a directory where all may put something",
      spoil: (program) => chmod(program, 0o1777),
    },
    {
      what: "a directory of somebody's above",
      spoil: (program) => chown(join(program, ".."), foreignId, foreignId),
    },
    {
      what: "a link to what somebody owns",
      spoil: async (program) => {
        const other = await temporaryDirectory();
        await chown(other, foreignId, foreignId);
        await symlink(other, join(program, "package/other"));
      },
    },
    {
      what: "a link to what holds something of somebody's",
      spoil: async (program) => {
        const other = await temporaryDirectory();
        await writeFile(join(other, "index.js"), "");
        await chown(join(other, "index.js"), foreignId, foreignId);
        await symlink(other, join(program, "package/other"));
      },
    },
    {
      what: "a link to nothing outside",
      spoil: (program) =>
        symlink("/tmp/nothing-is-there", join(program, "package/other")),
    },
  ];

  it.each(spoilt)("is no tree with $what", async ({ spoil }) => {
    const program = await tree();
    await requireRootOwnedTree(program);
    await spoil(program);
    await expect(requireRootOwnedTree(program)).rejects.toMatchObject(refused);
  });

  it("may link to what is root's, in circles, and to nothing inside", async () => {
    const program = await tree();
    const other = await tree();
    await symlink(other, join(program, "package/other"));
    await symlink(program, join(other, "package/back"));
    await symlink("../gone", join(program, "package/gone"));
    await requireRootOwnedTree(program);
  });

  it("is not behind a link, and not nothing", async () => {
    const program = await tree();
    for (const path of ["link", "link/dist", "absent"])
      await expect(requireRootOwned(join(program, path))).rejects.toMatchObject(
        refused,
      );
  });
});
