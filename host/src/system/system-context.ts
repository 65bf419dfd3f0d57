import type { CommandRunner } from "@banger/core";

/** What install, restart and uninstall work with. */
export interface SystemContext {
  readonly commands: CommandRunner;
  readonly signal: AbortSignal;
  /** called with each step before it is done */
  readonly onStep: (what: string) => void;
}
