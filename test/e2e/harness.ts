import { inject } from "vitest";
import { Install } from "../install.js";

export { eventually, type Outcome } from "../install.js";

/** An install that shares the image of the run. */
export class Home extends Install {
  constructor(config = "") {
    super(config, inject("imagesDirectory"));
  }
}
