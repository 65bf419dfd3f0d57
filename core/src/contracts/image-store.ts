import { BangerError } from "../errors.js";
import type { Image } from "../model/image.js";
import { suggestName } from "../model/suggest.js";
import type { OperationContext } from "../lifecycle/operation.js";

/** The published images and the way to new ones. */
export interface ImageStore {
  list(): Promise<readonly Image[]>;
  /** By exact id or name. */
  find(reference: string): Promise<Image | undefined>;
  /**
   * The image, built on first use when this install knows a recipe of that name. Callers that want the same image at the same time
   * share one build; it ends when the last of them leaves.
   * @throws {@link ImageNotFoundError} when there is neither an image nor a recipe
   */
  ensure(name: string, operation: OperationContext): Promise<Image>;
  /** Builds anew and replaces the name's image; VMs keep the one they were made from. */
  build(name: string, operation: OperationContext): Promise<Image>;
  /**
   * Removes its files. Refused while a VM refers to it.
   * @throws {@link ImageNotFoundError} and {@link ImageInUseError}
   */
  remove(reference: string): Promise<Image>;
}

export class ImageNotFoundError extends BangerError {
  override readonly code = "ERR_IMAGE_NOT_FOUND";
  override readonly kind = "not-found";
  constructor(name: string, known: readonly string[]) {
    super(`there is no image ${JSON.stringify(name)}`, {
      hint: suggestName(name, known),
    });
  }
}

export class ImageInUseError extends BangerError {
  override readonly code = "ERR_IMAGE_IN_USE";
  override readonly kind = "conflict";
  constructor(image: string, vms: readonly string[]) {
    super(`the image ${image} is used by ${vms.join(", ")}`, {
      hint: `Delete these first: banger vm delete ${vms.join(" ")}`,
    });
  }
}
