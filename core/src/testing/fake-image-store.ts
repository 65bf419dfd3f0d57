import {
  ImageNotFoundError,
  type ImageStore,
} from "../contracts/image-store.js";
import type { Image } from "../model/image.js";
import { fakeImage } from "./fixtures.js";

/** An {@link ImageStore} with the images it is given; it knows no recipes. */
export class FakeImageStore implements ImageStore {
  readonly #images: Image[];

  constructor(images: readonly Image[] = [fakeImage()]) {
    this.#images = [...images];
  }

  async list(): Promise<readonly Image[]> {
    return [...this.#images];
  }

  async find(reference: string): Promise<Image | undefined> {
    return this.#images.find(
      ({ id, name }) => id === reference || name === reference,
    );
  }

  async ensure(name: string): Promise<Image> {
    return this.#get(name);
  }

  async build(name: string): Promise<Image> {
    return this.#get(name);
  }

  async remove(reference: string): Promise<Image> {
    const image = await this.#get(reference);
    this.#images.splice(this.#images.indexOf(image), 1);
    return image;
  }

  async #get(reference: string): Promise<Image> {
    const image = await this.find(reference);
    const names = this.#images.map(({ name }) => name);
    if (!image) throw new ImageNotFoundError(reference, names);
    return image;
  }
}
