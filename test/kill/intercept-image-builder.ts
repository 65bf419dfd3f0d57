import type { ContractInterceptor } from "@banger/core/testing";
import type { HostInternals, HostRoot } from "@banger/host";

type ImageBuilder = HostInternals["imageBuilder"];

/** The builder is the host's own affair and no contract of core; its steps belong to the image build all the same. */
export function interceptImageBuilder(
  root: HostRoot,
  interceptor: ContractInterceptor,
): void {
  const original = root.getRegistration<ImageBuilder>("imageBuilder");
  if (!original) throw new Error("there is no image builder");
  root.register("imageBuilder", {
    ...original,
    resolve: (container) =>
      interceptBuilder(original.resolve(container), interceptor),
  });
}

function interceptBuilder(
  builder: ImageBuilder,
  interceptor: ContractInterceptor,
): ImageBuilder {
  const steps: Pick<ImageBuilder, "build" | "remove"> = {
    build: (...args) =>
      interceptor.call(
        "imageBuilder.build",
        () => builder.build(...args),
        args,
      ),
    remove: (...args) =>
      interceptor.call(
        "imageBuilder.remove",
        () => builder.remove(...args),
        args,
      ),
  };
  return new Proxy(builder, {
    get: (_target, key): unknown =>
      key === "build" || key === "remove"
        ? steps[key]
        : Reflect.get(builder, key, builder),
  });
}
