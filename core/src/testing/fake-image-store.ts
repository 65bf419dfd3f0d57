import {
  ImageNotFoundError,
  type ImageStore,
} from "../contracts/image-store.js";
import type { OperationContext } from "../lifecycle/operation.js";
import type { Image } from "../model/image.js";
import { fakeImage } from "./fixtures.js";
import { HostCalls } from "./host-calls.js";

/** An {@link ImageStore} with the images it is given; it knows no recipes. */
export class FakeImageStore implements ImageStore {
  readonly #images: Image[];
  readonly #calls: HostCalls;

  constructor(
    calls: HostCalls = new HostCalls(),
    images: readonly Image[] = [fakeImage()],
  ) {
    this.#calls = calls;
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

  ensure(name: string, operation: OperationContext): Promise<Image> {
    const work = (): Promise<Image> => this.#get(name);
    const { signal } = operation;
    return this.#calls.call("ensure the image", work, undefined, signal);
  }

  build(name: string, operation: OperationContext): Promise<Image> {
    return this.ensure(name, operation);
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
