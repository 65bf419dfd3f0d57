import { z } from "zod";

/** `[plugins.nat]`: no keys yet; the way out of a VM is its own choice (`--nat`). An unknown key is an error. */
export const natConfig = z.strictObject({});
