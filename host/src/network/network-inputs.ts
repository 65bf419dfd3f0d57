import { z } from "zod";
import { isBridgeName } from "./bridge-settings.js";
import { isPoolDeviceName, isTapDeviceName } from "./tap-names.js";

// What the requests take: patterns of ours and nothing else. What these leave open, such as whether an address is private, `run` looks at.

/** `br-fc`, or `br-fc-` and up to nine letters and digits */
export const bridgeNameInput: z.ZodType<string> = z
  .string()
  .refine(isBridgeName, "is no name of a bridge");

/** IPv4 address with prefix length */
export const cidrInput: z.ZodType<string> = z
  .string()
  .regex(/^[0-9.]{7,15}\/[0-9]{1,2}$/, "is no address with prefix length");

/** a name that only we give to TAP devices */
export const tapDeviceInput: z.ZodType<string> = z
  .string()
  .refine(isTapDeviceName, "is no name of a TAP device");

/** a name that only we give to TAP devices of a pool */
export const poolDeviceInput: z.ZodType<string> = z
  .string()
  .refine(isPoolDeviceName, "is no name of a pool device");
