import { ImageNotFoundError, type ImageStore } from "@banger/core";
import { operationRoute, readRoute, type Route } from "../route.js";
import { imageParams } from "../schemas.js";

export function imageRoutes(deps: {
  readonly imageStore: ImageStore;
  readonly checkRequirements: () => Promise<void>;
}): readonly Route[] {
  const { imageStore, checkRequirements } = deps;
  return [
    readRoute({
      method: "GET",
      path: "/v1/images",
      summary: "All images",
      handle: () => imageStore.list(),
    }),
    readRoute({
      method: "GET",
      path: "/v1/images/:image",
      summary: "One image, by id or name",
      params: imageParams,
      handle: async ({ params }) => {
        const image = await imageStore.find(params.image);
        if (image) return image;
        const names = (await imageStore.list()).map(({ name }) => name);
        throw new ImageNotFoundError(params.image, names);
      },
    }),
    operationRoute({
      method: "POST",
      path: "/v1/images/:image/build",
      summary: "Build an image anew",
      params: imageParams,
      title: ({ params }) => `build image ${params.image}`,
      handle: async ({ params }, operation) => {
        await checkRequirements();
        return imageStore.build(params.image, operation);
      },
    }),
    operationRoute({
      method: "DELETE",
      path: "/v1/images/:image",
      summary: "Remove an image that no VM uses",
      params: imageParams,
      title: ({ params }) => `delete image ${params.image}`,
      handle: ({ params }) => imageStore.remove(params.image),
    }),
  ];
}
