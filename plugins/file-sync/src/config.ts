import { z } from "zod";
import { hostPathProblem, parseGuestPath } from "./guest-path.js";

const hostPath = z.string().superRefine((text, context) => {
  const problem = hostPathProblem(text);
  if (problem !== undefined)
    context.addIssue({ code: "custom", message: problem });
});

/** Parsed to the path relative to the guest's root directory. */
const guestPath = z.string().transform((text, context) => {
  const parsed = parseGuestPath(text);
  if ("path" in parsed) return parsed.path;
  context.addIssue({ code: "custom", message: parsed.problem });
  return z.NEVER;
});

/** Parsed to a number. */
const mode = z
  .string()
  .regex(/^[0-7]{3,4}$/, 'write 3 or 4 octal digits in quotes, such as "0600"')
  .transform((text) => parseInt(text, 8) & 0o777);

const entry = z.strictObject({
  host: hostPath.describe(
    "path on the host, required: absolute, or ~/ for the home directory of the daemon's user",
  ),
  guest: guestPath.describe("path in the guest, required: below ~/ or /root/"),
  mode: mode
    .prefault("0600")
    .describe(
      'octal digits as a string, default "0600": permissions of a file; a directory keeps those of its files',
    ),
});

/** `[plugins.file-sync]` */
export const fileSyncConfig = z.strictObject({
  entries: z
    .array(entry)
    .default([])
    .describe("list, default empty: files and directories to bring along")
    .superRefine((entries, context) => {
      const seen = new Map<string, number>();
      for (const [index, { guest }] of entries.entries()) {
        const first = seen.get(guest);
        if (first === undefined) seen.set(guest, index);
        else
          context.addIssue({
            code: "custom",
            path: [index, "guest"],
            message: `entries[${String(first)}] has the same place`,
          });
      }
    }),
});

type FileSyncConfig = z.output<typeof fileSyncConfig>;
/** One `[[plugins.file-sync.entries]]`; `guest` is relative to the guest's root directory, `mode` a number. */
export type FileSyncEntry = FileSyncConfig["entries"][number];
