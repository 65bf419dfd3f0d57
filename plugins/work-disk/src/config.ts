import { z } from "zod";

/** `[plugins.work-disk]` */
export const workDiskConfig = z.strictObject({
  seed: z
    .boolean()
    .default(true)
    .describe(
      "boolean, default true: a new disk begins with what the image brings for /root",
    ),
  git_identity: z
    .boolean()
    .default(true)
    .describe(
      "boolean, default true: a new disk gets user.name and user.email of the host's global git configuration",
    ),
});

export type WorkDiskConfig = z.output<typeof workDiskConfig>;
