import { definePrivilegedRequest, type PrivilegedRequest } from "@banger/core";
import { z } from "zod";

const input = z.strictObject({});
/** `build` is what the build wrote: twelve hexadecimal digits, or `dev` */
const output = z.object({
  version: z.string().max(64),
  build: z.string().max(64),
});

/** What a helper is. */
export type HelperBuild = z.output<typeof output>;

/** A helper that has enough to do answers it all the same. */
export const pingName = "helper.ping";

/** Asks the helper what it is, which proves that it answers. Changes nothing. */
export function pingRequest(
  build: HelperBuild,
): PrivilegedRequest<z.output<typeof input>, HelperBuild> {
  return definePrivilegedRequest({
    name: pingName,
    input,
    output,
    timeoutMs: 2_000,
    run: async () => Promise.resolve(build),
  });
}
