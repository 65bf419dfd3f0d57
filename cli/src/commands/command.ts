import type { ApiClient } from "../client/api-client.js";
import type { Build } from "../build-id.js";
import type { Io } from "../io.js";
import type { Style } from "../render/style.js";
import type { Arguments } from "./arguments.js";
import type { Paths } from "@banger/host/client";

/** What names complete to: those of a running daemon, or the files of the shell. */
export type Completion = "vm" | "image" | "plugin" | "operation" | "path";

export interface OptionDefinition {
  /** `strings` may be given several times */
  readonly type: "string" | "strings" | "boolean";
  readonly describe: string;
  /** one letter */
  readonly alias?: string;
  readonly choices?: readonly string[];
  /** words that complete it; unlike with `choices`, others may be fine too */
  readonly proposals?: readonly string[];
  readonly completes?: Completion;
}

export interface PositionalDefinition {
  readonly name: string;
  readonly describe: string;
  readonly required: boolean;
  /** takes all words that follow */
  readonly many?: true;
  readonly choices?: readonly string[];
  readonly completes?: Completion;
}

/** What a command hands back to be printed on stdout. */
export interface Outcome {
  /** for `--json` */
  readonly json?: unknown;
  /** for people; ends without a line feed */
  readonly text?: () => string;
  /** 0 when absent */
  readonly exitCode?: number;
  /** what failed beside it: shown after it like an error that is thrown, with that error's exit status */
  readonly error?: unknown;
}

/** What a command works with. */
export interface Cli {
  readonly io: Io;
  readonly paths: Paths;
  readonly build: Build;
  /** the script that works on the system install */
  readonly systemProgram: string;
  /** starts the daemon when it does not run */
  readonly client: ApiClient;
  /** takes any daemon that runs, and starts none */
  readonly runningClient: ApiClient;
  /** of stdout */
  readonly style: Style;
  /** of stderr */
  readonly errorStyle: Style;
}

/** One command of the command line: data for parser, help and completion, and what it does. */
export interface CommandDefinition {
  /** the words that call it */
  readonly words: readonly [string] | readonly [string, string];
  /** other words for it at the top level */
  readonly alias?: string;
  readonly summary: string;
  readonly positionals?: readonly PositionalDefinition[];
  /** takes a guest command after `--` */
  readonly guestCommand?: "optional" | "required";
  readonly options?: Readonly<Record<string, OptionDefinition>>;
  /** command line without `banger`, and what it does */
  readonly examples: readonly (readonly [string, string])[];
  /** exit status of banger's own failures; 1 when absent */
  readonly failureStatus?: (args: Arguments) => number;
  /** an interruption is how it usually ends, or its output is the guest's: nothing is said about one */
  readonly endsSilently?: true;
  readonly run: (args: Arguments, cli: Cli) => Promise<Outcome>;
}

/** Option of every command that reads. */
export const jsonOption = {
  json: { type: "boolean", describe: "print JSON" },
} satisfies Record<string, OptionDefinition>;

/** Status of banger's own failures in commands that pass a guest's status on. */
export const ownFailureStatus = 125;
