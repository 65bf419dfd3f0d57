import {
  mkdir,
  open,
  readdir,
  readlink,
  rm,
  writeFile,
} from "node:fs/promises";
import { CancelledError, type OperationContext } from "@banger/core";
import {
  fakeOperation,
  fakeVm,
  FakeVmStore,
  memoryLogger,
} from "@banger/core/testing";
import { describe, expect, it, vi } from "vitest";
import { DirectoryImageStore } from "../../src/images/directory-image-store.js";
import type { ImageBuilder } from "../../src/images/image-builder.js";
import type { Recipe } from "../../src/images/recipe.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const name = "debian-bookworm";

/** Plays the builder: writes a manifest, unless the test does something else in between. */
class FakeBuilder {
  readonly built: string[] = [];
  readonly removed: string[] = [];
  during: (staging: string, operation: OperationContext) => Promise<void> =
    () => Promise.resolve();
  failRemoval = false;

  async build(
    recipe: Recipe,
    id: string,
    staging: string,
    operation: OperationContext,
  ): Promise<void> {
    this.built.push(id);
    await writeFile(`${staging}/rootfs.ext4`, "x");
    await this.during(staging, operation);
    await writeManifest(staging, id, recipe.name);
  }

  async remove(id: string, staging: string): Promise<void> {
    this.removed.push(id);
    if (this.failRemoval) throw new Error("busy");
    await rm(staging, { recursive: true, force: true });
  }
}

async function writeManifest(
  directory: string,
  id: string,
  imageName: string,
  createdAt = new Date().toISOString(),
): Promise<void> {
  await writeFile(
    `${directory}/manifest.json`,
    JSON.stringify({
      ...{ version: 1, id, name: imageName, createdAt, workSeed: false },
      ...{ distribution: "Debian 12", architecture: "x86_64" },
      ...{ kernelVersion: "6.1", sizeBytes: 1, rootSizeBytes: 1 },
    }),
  );
}

function kernelsOf(imagesDirectory: string): string {
  return `${imagesDirectory}/../kernels`;
}

async function setUp(vms: Parameters<typeof fakeVm>[0][] = []): Promise<{
  store: DirectoryImageStore;
  builder: FakeBuilder;
  directory: string;
  vmStore: FakeVmStore;
  addImage: (
    id: string,
    imageName: string,
    createdAt?: string,
  ) => Promise<void>;
}> {
  const directory = `${await temporaryDirectory()}/images`;
  const builder = new FakeBuilder();
  const vmStore = new FakeVmStore(vms.map((vm) => fakeVm(vm)));
  const store = new DirectoryImageStore({
    directory,
    kernelsDirectory: kernelsOf(directory),
    imageBuilder: builder as unknown as ImageBuilder,
    vmStore,
    logger: memoryLogger(),
  });
  const addImage = async (
    id: string,
    imageName: string,
    createdAt = "2026-01-01T00:00:00.000Z",
  ): Promise<void> => {
    await mkdir(`${directory}/${id}`, { recursive: true });
    await writeManifest(`${directory}/${id}`, id, imageName, createdAt);
  };
  return { store, builder, directory, vmStore, addImage };
}

describe("ensure", () => {
  it("builds on first use and publishes by a rename only", async () => {
    const { store, builder, directory } = await setUp();
    builder.during = async (staging) => {
      expect(staging).toMatch(/\/\.staging-debian-bookworm-[0-9a-f]{12}$/);
      expect(await store.list()).toEqual([]);
      expect(await store.find(name)).toBeUndefined();
    };
    const image = await store.ensure(name, fakeOperation());
    expect(image).toMatchObject({ name, id: builder.built[0] });
    expect(image.files.rootfs).toBe(`${directory}/${image.id}/rootfs.ext4`);
    expect(await readdir(directory)).toEqual([image.id]);
    expect(await store.ensure(name, fakeOperation())).toEqual(image);
    expect(builder.built).toHaveLength(1);
  });

  it("has every file on the disk before the image has its name", async () => {
    const { store, directory } = await setUp();
    const handle = await open(await temporaryDirectory());
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const synced: string[] = [];
    const sync = vi.spyOn(prototype, "sync").mockImplementation(async function (
      this: typeof handle,
    ) {
      const path = await readlink(`/proc/self/fd/${String(this.fd)}`);
      synced.push(path.replace(/[0-9a-f]{12}/, "ID"));
    });
    try {
      await store.build(name, fakeOperation());
    } finally {
      sync.mockRestore();
    }
    const staging = `${directory}/.staging-${name}-ID`;
    expect(synced.slice(0, 2).sort()).toEqual([
      `${staging}/manifest.json`,
      `${staging}/rootfs.ext4`,
    ]);
    expect(synced.slice(2)).toEqual([staging, directory]);
  });

  it("says that the disk is full", async () => {
    const { store, builder } = await setUp();
    builder.during = () =>
      Promise.reject(Object.assign(new Error("write"), { code: "ENOSPC" }));
    await expect(store.ensure(name, fakeOperation())).rejects.toMatchObject({
      code: "ERR_DISK_FULL",
    });
  });

  it("shares one build between two at the same time", async () => {
    const { store, builder } = await setUp();
    const images = await Promise.all(
      [1, 2].map(() => store.ensure(name, fakeOperation())),
    );
    expect(images[0]).toEqual(images[1]);
    expect(builder.built).toHaveLength(1);
  });

  it("leaves nothing of a build that fails", async () => {
    const { store, builder, directory } = await setUp();
    builder.during = () => Promise.reject(new Error("no mirror"));
    await expect(store.ensure(name, fakeOperation())).rejects.toThrow(
      "no mirror",
    );
    expect(await readdir(directory)).toEqual([]);
    expect(builder.removed).toEqual(builder.built);
  });

  it("keeps the first cause when the removal fails too, and the next daemon removes the rest", async () => {
    const { store, builder, directory } = await setUp();
    builder.during = () => Promise.reject(new Error("no mirror"));
    builder.failRemoval = true;
    await expect(store.ensure(name, fakeOperation())).rejects.toThrow(
      "no mirror",
    );
    expect(await store.list()).toEqual([]);
    builder.failRemoval = false;
    await store.removeStaging();
    expect(await readdir(directory)).toEqual([]);
  });

  it("ends the build when the last caller leaves, and leaves nothing", async () => {
    const { store, builder, directory } = await setUp();
    const abort = new AbortController();
    builder.during = (_staging, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reject(new CancelledError("the build"));
        });
        abort.abort();
      });
    await expect(
      store.ensure(name, fakeOperation(abort.signal)),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await readdir(directory)).toEqual([]);
  });

  it("names the nearest recipe or image for an unknown one", async () => {
    const { store, addImage } = await setUp();
    await addImage("own-000000000000", "own-image");
    await expect(
      store.ensure("debian-bokworm", fakeOperation()),
    ).rejects.toMatchObject({
      code: "ERR_IMAGE_NOT_FOUND",
      hint: `Did you mean ${name}?`,
    });
    await expect(
      store.ensure("own-imag", fakeOperation()),
    ).rejects.toMatchObject({ hint: "Did you mean own-image?" });
  });

  it("uses an image for which there is no recipe", async () => {
    const { store, addImage, builder } = await setUp();
    await addImage("own-000000000000", "own-image");
    expect(await store.ensure("own-image", fakeOperation())).toMatchObject({
      id: "own-000000000000",
    });
    expect(builder.built).toEqual([]);
  });
});

describe("build", () => {
  it("replaces earlier images, but keeps those that VMs were made from", async () => {
    const { store, addImage } = await setUp([
      { imageId: `${name}-000000000001`, name: "user" },
    ]);
    await addImage(`${name}-000000000001`, name);
    await addImage(`${name}-000000000002`, name);
    await addImage("other-000000000003", "other");
    const image = await store.build(name, fakeOperation());
    expect((await store.list()).map(({ id }) => id).sort()).toEqual(
      [`${name}-000000000001`, image.id, "other-000000000003"].sort(),
    );
    expect((await store.find(name))?.id).toBe(image.id);
    expect((await store.find(`${name}-000000000001`))?.id).toBe(
      `${name}-000000000001`,
    );
  });
});

describe("remove", () => {
  it("removes with an image what was unpacked of its kernel, and no other", async () => {
    const { store, addImage, directory } = await setUp();
    for (const id of ["one-000000000000", "two-000000000000"]) {
      await addImage(id, id.slice(0, 3));
      await mkdir(`${kernelsOf(directory)}/${id}`, { recursive: true });
    }
    await store.remove("one");
    expect(await readdir(kernelsOf(directory))).toEqual(["two-000000000000"]);
  });

  it("removes an image, by id or name", async () => {
    const { store, addImage, directory } = await setUp();
    await addImage("one-000000000000", "one");
    await addImage("two-000000000000", "two");
    expect((await store.remove("one")).id).toBe("one-000000000000");
    expect((await store.remove("two-000000000000")).name).toBe("two");
    expect(await readdir(directory)).toEqual([]);
  });

  it("refuses while a VM uses it, and names the VM", async () => {
    const { store, addImage } = await setUp([
      { imageId: "one-000000000000", name: "user" },
    ]);
    await addImage("one-000000000000", "one");
    await expect(store.remove("one")).rejects.toMatchObject({
      code: "ERR_IMAGE_IN_USE",
      hint: "Delete these first: banger vm delete user",
    });
    expect(await store.list()).toHaveLength(1);
  });

  it("puts back an image from which a VM was made meanwhile", async () => {
    const { store, addImage, vmStore } = await setUp();
    await addImage("one-000000000000", "one");
    const list = vmStore.list.bind(vmStore);
    let looks = 0;
    vmStore.list = async () => {
      const vms = await list();
      // Just after the first look.
      if (looks++ === 0)
        await vmStore.insert("late", () =>
          fakeVm({ name: "late", imageId: "one-000000000000" }),
        );
      return vms;
    };
    await expect(store.remove("one")).rejects.toMatchObject({
      code: "ERR_IMAGE_IN_USE",
      hint: "Delete these first: banger vm delete late",
    });
    expect(await store.list()).toHaveLength(1);
  });

  it("puts back an image when it cannot be looked who uses it", async () => {
    const { store, addImage, vmStore } = await setUp();
    await addImage("one-000000000000", "one");
    vmStore.list = vi
      .fn(vmStore.list.bind(vmStore))
      .mockResolvedValueOnce([])
      .mockRejectedValueOnce(new Error("busy"));
    await expect(store.remove("one")).rejects.toThrow("busy");
    expect(await store.list()).toHaveLength(1);
  });

  it.each([
    ["is put back when a VM was made from it", true],
    ["is finished when no VM was", false],
  ])("that a killed daemon began %s", async (_what, isUsed) => {
    const id = "one-000000000000";
    const users = isUsed ? [{ imageId: id }] : [];
    const { store, addImage, directory } = await setUp(users);
    await addImage(`.aside-${id}`, "one");
    await writeManifest(`${directory}/.aside-${id}`, id, "one");
    expect(await store.list()).toEqual([]);
    await store.removeStaging();
    expect(await readdir(directory)).toEqual(isUsed ? [id] : []);
    expect(await store.list()).toHaveLength(isUsed ? 1 : 0);
  });

  it("refuses an unknown image", async () => {
    const { store } = await setUp();
    await expect(store.remove("none")).rejects.toMatchObject({
      code: "ERR_IMAGE_NOT_FOUND",
      kind: "not-found",
    });
  });
});

it("goes on when something of a killed daemon cannot be removed", async () => {
  const { store, builder, directory } = await setUp();
  for (const id of ["one", "two"])
    await mkdir(`${directory}/.staging-${id}-000000000000`, {
      recursive: true,
    });
  const remove = builder.remove.bind(builder);
  builder.remove = (id, staging) =>
    id.startsWith("one") ? Promise.reject(new Error()) : remove(id, staging);
  await store.removeStaging();
  expect(await readdir(directory)).toEqual([".staging-one-000000000000"]);
});

it("removes what a killed daemon left of builds and removals, and nothing else", async () => {
  const { store, builder, addImage, directory } = await setUp();
  await store.removeStaging();
  await addImage("one-000000000000", "one");
  await mkdir(`${directory}/.staging-two-000000000000`);
  await mkdir(`${directory}/no-manifest`);
  await store.removeStaging();
  expect(builder.removed).toEqual(["two-000000000000"]);
  expect((await readdir(directory)).sort()).toEqual([
    "no-manifest",
    "one-000000000000",
  ]);
  expect((await store.list()).map(({ name: found }) => found)).toEqual(["one"]);
});
