import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import {
  ImageInUseError,
  ImageNotFoundError,
  type Image,
  type ImageStore,
  type Logger,
  type OperationContext,
  type VmStore,
} from "@banger/core";
import { orDiskFull } from "../files/disk-full.js";
import { syncDirectory, syncFiles } from "../files/sync.js";
import type { ImageBuilder } from "./image-builder.js";
import { readImage } from "./image-manifest.js";
import { recipes, type Recipe } from "./recipe.js";
import { SharedBuilds } from "./shared-build.js";

/** Not yet an image, or no longer. */
const stagingPrefix = ".staging-";
/** Whole, and out of everybody's reach while it is looked whether a VM needs it. */
const asidePrefix = ".aside-";

/** Images as directories `images/<id>/`, complete from the moment they have that name. */
export class DirectoryImageStore implements ImageStore {
  readonly #directory: string;
  readonly #builder: ImageBuilder;
  readonly #vmStore: VmStore;
  readonly #logger: Logger;
  readonly #kernelsDirectory: string;
  readonly #builds = new SharedBuilds<Image>();

  constructor(options: {
    directory: string;
    /** what VMMs unpacked of an image's kernel, in a directory of the image's id; goes with the image */
    kernelsDirectory: string;
    imageBuilder: ImageBuilder;
    vmStore: VmStore;
    logger: Logger;
  }) {
    this.#directory = options.directory;
    this.#kernelsDirectory = options.kernelsDirectory;
    this.#builder = options.imageBuilder;
    this.#vmStore = options.vmStore;
    this.#logger = options.logger;
  }

  async list(): Promise<readonly Image[]> {
    const names = await this.#entries();
    const images = await Promise.all(
      names
        .filter((name) => !name.startsWith("."))
        .map((name) => readImage(`${this.#directory}/${name}`)),
    );
    return images
      .filter((image) => image !== undefined)
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }

  async find(reference: string): Promise<Image | undefined> {
    const images = await this.list();
    // After a rebuild there may be two of a name: the newer one is meant.
    return (
      images.find(({ id }) => id === reference) ??
      images.findLast(({ name }) => name === reference)
    );
  }

  async ensure(name: string, operation: OperationContext): Promise<Image> {
    return (await this.find(name)) ?? this.build(name, operation);
  }

  async build(name: string, operation: OperationContext): Promise<Image> {
    const recipe = recipes.find((candidate) => candidate.name === name);
    if (!recipe) {
      const known = [...recipes, ...(await this.list())].map(
        (entry) => entry.name,
      );
      throw new ImageNotFoundError(name, [...new Set(known)]);
    }
    return this.#builds.join(name, operation, (shared) =>
      this.#build(recipe, shared),
    );
  }

  async remove(reference: string): Promise<Image> {
    const image = await this.find(reference);
    if (!image) {
      const names = (await this.list()).map(({ name }) => name);
      throw new ImageNotFoundError(reference, names);
    }
    const users = await this.#removeUnused(image.id);
    if (users.length > 0) throw new ImageInUseError(image.name, users);
    return image;
  }

  /**
   * Removes what an interrupted build or removal left. Once, before anything is built. What cannot be removed costs space, and is
   * logged: the daemon is needed all the more then.
   */
  async removeStaging(): Promise<void> {
    for (const name of await this.#entries()) {
      if (name.startsWith(asidePrefix))
        await this.#finishRemoval(name.slice(asidePrefix.length));
      if (!name.startsWith(stagingPrefix)) continue;
      const id = name.slice(stagingPrefix.length);
      this.#logger.info("Removing an unfinished image", { id });
      await this.#removeUnfinished(id, this.#stagingOf(id));
    }
  }

  async #build(recipe: Recipe, operation: OperationContext): Promise<Image> {
    const id = `${recipe.name}-${randomBytes(6).toString("hex")}`;
    const staging = this.#stagingOf(id);
    const what = `building the image ${recipe.name}`;
    await orDiskFull(what, async () => {
      await mkdir(staging, { recursive: true, mode: 0o700 });
      try {
        await this.#builder.build(recipe, id, staging, operation);
        // Content before name: else a power cut may leave the name on empty files.
        await syncFiles(staging);
        await rename(staging, this.#pathOf(id));
        await syncDirectory(this.#directory);
      } catch (error) {
        // The first cause stays the cause; the next daemon tries again to remove what is left here.
        await this.#removeUnfinished(id, staging);
        throw error;
      }
    });
    const image = await readImage(this.#pathOf(id));
    if (!image)
      throw new Error(`the manifest of the new image ${id} is not valid`);
    await this.#removeSuperseded(recipe.name, id).catch((error: unknown) => {
      // The new image is there and usable: an old one that stays costs space only.
      this.#logger.warn("Earlier images could not be removed", { id, error });
    });
    return image;
  }

  async #removeUnfinished(id: string, staging: string): Promise<void> {
    try {
      await this.#builder.remove(id, staging);
    } catch (error) {
      this.#logger.error("Unfinished image could not be removed", {
        id,
        error,
      });
    }
  }

  /** Earlier images of the name go, unless a VM was made from them. */
  async #removeSuperseded(name: string, newest: string): Promise<void> {
    for (const image of await this.list())
      if (image.name === name && image.id !== newest)
        await this.#removeUnused(image.id);
  }

  /** @returns names of the VMs that were made from it: then it stays */
  async #removeUnused(id: string): Promise<readonly string[]> {
    const users = await this.#usersOf(id);
    if (users.length > 0) return users;
    await rename(this.#pathOf(id), this.#asideOf(id));
    return this.#removeAside(id);
  }

  /**
   * A VM is recorded before its image is looked for, so one that was made meanwhile has either found the image, and is seen here, or is
   * refused.
   * @returns names of the VMs that keep it
   */
  async #removeAside(id: string): Promise<readonly string[]> {
    let users: readonly string[] | undefined;
    try {
      users = await this.#usersOf(id);
    } finally {
      const isUnused = users?.length === 0;
      // First: it is while the image stands aside that a later daemon finishes what was begun.
      if (isUnused)
        await rm(`${this.#kernelsDirectory}/${id}`, {
          recursive: true,
          force: true,
        });
      const to = isUnused ? this.#stagingOf(id) : this.#pathOf(id);
      await rename(this.#asideOf(id), to);
    }
    if (users.length === 0)
      await rm(this.#stagingOf(id), { recursive: true, force: true });
    return users;
  }

  async #finishRemoval(id: string): Promise<void> {
    try {
      await this.#removeAside(id);
    } catch (error) {
      const what = "Interrupted removal of an image could not be finished";
      this.#logger.error(what, { id, error });
    }
  }

  async #usersOf(id: string): Promise<readonly string[]> {
    const vms = await this.#vmStore.list();
    return vms.filter(({ imageId }) => imageId === id).map(({ name }) => name);
  }

  #pathOf(id: string): string {
    return `${this.#directory}/${id}`;
  }

  #asideOf(id: string): string {
    return this.#pathOf(`${asidePrefix}${id}`);
  }

  #stagingOf(id: string): string {
    return this.#pathOf(`${stagingPrefix}${id}`);
  }

  async #entries(): Promise<readonly string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}
