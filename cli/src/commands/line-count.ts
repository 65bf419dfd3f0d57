import type { Arguments } from "./arguments.js";
import { UsageError } from "./usage-error.js";

/** The value of `--lines`. @throws {@link UsageError} */
export function lineCount(args: Arguments): number | undefined {
  const lines = args.number("lines");
  if (lines !== undefined && (lines < 1 || lines > 100_000))
    throw new UsageError("--lines takes 1 to 100000");
  return lines;
}
