import { InvalidValueError } from "@banger/core";
import { z } from "zod";
import { parseAllowEntry } from "./allow-entry.js";
import { mostEntries } from "./root/guest.js";

const entry = z.string().superRefine((text, context) => {
  try {
    parseAllowEntry(text);
  } catch (error) {
    if (!(error instanceof InvalidValueError)) throw error;
    const message = `${error.message}. ${error.hint ?? ""}`;
    context.addIssue({ code: "custom", message });
  }
});

/** `[plugins.nat]`; whether a VM has a way out at all is its own choice (`--nat`). */
export const natConfig = z.strictObject({
  allow: z
    .array(entry)
    .max(mostEntries)
    .exactOptional()
    .describe(
      `What guests with NAT may reach, at most ${String(mostEntries)} entries of the form DESTINATION[:PORT[/tcp|/udp]]; a destination is an IPv4 address, a subnet, a name, *.name for the names below it, or * for every name. Names outside of the list are not resolved. Network mode bridge only. Default: everything.`,
    ),
});

export type NatConfig = z.output<typeof natConfig>;
