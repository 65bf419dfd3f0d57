import type { Cli } from "./command.js";
export async function complete(_words: readonly string[], _cli: Cli): Promise<readonly string[]> {
  return [];
}
