import type { Image } from "@banger/core/client";
import { renderDuration } from "../render/duration.js";
import { renderImage, renderImageTable } from "../render/image.js";
import {
  jsonOption,
  type CommandDefinition,
  type PositionalDefinition,
} from "./command.js";
import { withHostPackages } from "./host-packages.js";
import { note, operate } from "./operate.js";

const imagePositional: PositionalDefinition = {
  name: "image",
  describe: "name or id",
  required: true,
  completes: "image",
};

const pathOf = (image: string): string =>
  `/v1/images/${encodeURIComponent(image)}`;

export const imageList: CommandDefinition = {
  words: ["image", "list"],
  summary: "List images",
  options: jsonOption,
  examples: [["image list", "images that are built"]],
  run: async (_args, { client, style }) => {
    const images = await client.read<readonly Image[]>("/v1/images");
    return { json: images, text: () => renderImageTable(images, style) };
  },
};

export const imageShow: CommandDefinition = {
  words: ["image", "show"],
  summary: "Show all that is known of an image",
  positionals: [imagePositional],
  options: jsonOption,
  examples: [["image show debian-bookworm", "kernel, sizes, files"]],
  run: async (args, { client, style }) => {
    const image = await client.read<Image>(pathOf(args.required("image")));
    return { json: image, text: () => renderImage(image, style) };
  },
};

export const imageBuild: CommandDefinition = {
  words: ["image", "build"],
  summary: "Build an image anew; VMs keep the one they have",
  positionals: [imagePositional],
  options: {
    ...jsonOption,
    yes: {
      type: "boolean",
      alias: "y",
      describe: "install missing host packages without asking",
    },
  },
  examples: [["image build debian-bookworm", "with today's Debian packages"]],
  run: async (args, cli) => {
    const quiet = args.flag("json");
    const path = `${pathOf(args.required("image"))}/build`;
    const { value: image, elapsedMs } = await withHostPackages(
      cli,
      args.flag("yes"),
      () => operate<Image>(cli, { method: "POST", path, quiet }),
    );
    if (!quiet) note(cli, `built in ${renderDuration(elapsedMs)}`);
    return { json: image, text: () => image.id };
  },
};

export const imageDelete: CommandDefinition = {
  words: ["image", "delete"],
  summary: "Remove an image that no VM uses",
  positionals: [imagePositional],
  examples: [["image delete debian-bookworm", "the next VM builds it again"]],
  run: async (args, cli) => {
    const image = args.required("image");
    await operate(cli, { method: "DELETE", path: pathOf(image) });
    return { text: () => image };
  },
};
