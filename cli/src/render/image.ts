import { formatSize, type Image } from "@banger/core/client";
import { renderAge } from "./duration.js";
import { printableLine } from "./printable.js";
import type { Style } from "./style.js";
import { renderTable } from "./table.js";

export function renderImageTable(
  images: readonly Image[],
  style: Style,
): string {
  if (images.length === 0) return "";
  const header = ["NAME", "ID", "DISTRIBUTION", "KERNEL", "SIZE", "AGE"];
  return renderTable([
    header.map((title) => style.bold(title)),
    ...images.map((image) => [
      printableLine(image.name),
      image.id,
      printableLine(image.distribution),
      printableLine(image.kernelVersion),
      formatSize(image.sizeBytes),
      renderAge(image.createdAt),
    ]),
  ]);
}

export function renderImage(image: Image, style: Style): string {
  const { files } = image;
  const fields: readonly (readonly [string, string | undefined])[] = [
    ["name", image.name],
    ["id", image.id],
    ["distribution", image.distribution],
    ["architecture", image.architecture],
    ["kernel", image.kernelVersion],
    ["size on host", formatSize(image.sizeBytes)],
    ["root disk", formatSize(image.rootSizeBytes)],
    ["created", image.createdAt],
    ["rootfs", files.rootfs],
    ["kernel image", files.kernel],
    ["initrd", files.initrd],
    ["work seed", files.workSeed],
  ];
  return renderTable(
    fields.flatMap(([name, value]) =>
      value === undefined ? [] : [[style.dim(name), printableLine(value)]],
    ),
  );
}
