import type { Io, Output } from "../io.js";

/** Text attributes of an output; they change nothing where colour is not wanted. */
export interface Style {
  /** the output is a terminal */
  readonly isTerminal: boolean;
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

/** Colour only on a terminal, and never with `NO_COLOR` or `TERM=dumb`. */
export function styleOf(output: Output, env: Io["env"]): Style {
  const isTerminal = output.isTTY === true;
  const isPlain = !isTerminal || !!env["NO_COLOR"] || env["TERM"] === "dumb";
  const wrap =
    (on: number, off: number) =>
    (text: string): string =>
      isPlain || text === "" ? text : `\u001b[${on}m${text}\u001b[${off}m`;
  return {
    isTerminal,
    bold: wrap(1, 22),
    dim: wrap(2, 22),
    red: wrap(31, 39),
    green: wrap(32, 39),
    yellow: wrap(33, 39),
  };
}
