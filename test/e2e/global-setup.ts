import type { TestProject } from "vitest/node";
import { provideImages } from "../install.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** folder with the default image, built once for the whole run */
    imagesDirectory: string;
  }
}

/** The default image, once; every test's install then shares it. */
export default function setup(project: TestProject): () => void {
  const images = provideImages();
  project.provide("imagesDirectory", images.directory);
  return () => {
    images.remove();
  };
}
