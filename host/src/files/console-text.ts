/** Longest line that is shown, characters. */
const lineLimit = 500;

// ECMA-48: control strings (OSC, DCS, APC, PM, SOS) up to BEL or ST, CSI sequences, two-byte and intermediate escapes.
const controlString =
  // eslint-disable-next-line no-control-regex -- finding control characters is the point
  /(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c)?/gu;
// eslint-disable-next-line no-control-regex -- as above
const csi = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?/gu;
// eslint-disable-next-line no-control-regex -- as above
const escape = /\u001b[ -/]*[0-~]?/gu;
// Control characters but the tab, and format characters: those reverse the reading direction or are invisible.
const invisible = /(?!\t)[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/**
 * What a guest wrote on its console, as lines that are safe to print: no escape sequences, no control or format characters, no empty
 * lines, none longer than 500 characters. A carriage return ends a line too. Pure.
 */
export function consoleLines(text: string): readonly string[] {
  return text
    .replace(controlString, "")
    .replace(csi, "")
    .replace(escape, "")
    .split(/[\r\n]+/u)
    .map((line) => line.replace(invisible, "").trimEnd())
    .filter((line) => line !== "")
    .map((line) =>
      line.length > lineLimit ? `${line.slice(0, lineLimit - 1)}…` : line,
    );
}
