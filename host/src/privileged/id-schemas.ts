import { isVmId, type VmId } from "@banger/core";
import { z } from "zod";

/** A VM's id in a privileged request: it becomes part of paths and names. */
export const vmIdSchema: z.ZodType<VmId> = z.custom<VmId>(
  (value) => typeof value === "string" && isVmId(value),
  "no id of a VM",
);

/** An image's id in a privileged request: it becomes part of paths. @see image-manifest.ts */
export const imageIdSchema: z.ZodType<string> = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,80}$/, "no id of an image");
