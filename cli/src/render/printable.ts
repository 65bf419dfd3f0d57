/** Control characters but tab and line feed, and format characters, which reverse the reading direction or are invisible. */
export const hostile = /(?![\t\n])[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** The text without anything that could steer a terminal. Pure. */
export function printable(text: string): string {
  return text.replace(hostile, "");
}

/** The same on one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll(/[\t\n]+/g, " ");
}
