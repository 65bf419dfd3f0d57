import { z } from "zod";

/** What the command line hands to the program that works on the system install. */
export const systemRequestSchema = z.discriminatedUnion("verb", [
  z.strictObject({
    verb: z.enum(["plan", "install"]),
    owner: z.string().exactOptional(),
    plugins: z.array(z.string()),
  }),
  z.strictObject({ verb: z.literal("status") }),
  z.strictObject({ verb: z.enum(["restart", "run-helper"]) }),
  z.strictObject({ verb: z.literal("uninstall"), purge: z.boolean() }),
]);

/** @see systemRequestSchema */
export type SystemRequest = z.infer<typeof systemRequestSchema>;
