import { Interruption, type Io } from "../io.js";

/**
 * Asks on the terminal for a line; a single key decides nothing.
 * @param question with its trailing blank
 * @returns is the line `y` or `yes`? Also no when the input ends, as after Ctrl-D
 * @throws Interruption after Ctrl-C
 */
export async function askYesOrNo(io: Io, question: string): Promise<boolean> {
  const line = await askForLine(io, question);
  return line !== undefined && /^\s*y(es)?\s*$/i.test(line);
}

/** @returns undefined when the input ended before Enter */
async function askForLine(
  { stdin: input, stderr: output, interrupted }: Io,
  question: string,
): Promise<string | undefined> {
  const { createInterface } = await import("node:readline");
  interrupted.throwIfAborted();
  const asked = new AbortController();
  const { signal } = asked;
  let line: string | undefined;
  try {
    line = await new Promise<string | undefined>((resolve, reject) => {
      const onEnd = (): void => {
        resolve(undefined);
      };
      const onAbort = (): void => {
        reject(interrupted.reason as Error);
      };
      interrupted.addEventListener("abort", onAbort, { signal });
      // Heard before readline hears it, for which the end would count as Enter.
      input.once("end", onEnd);
      const lines = createInterface({ input, output, terminal: true });
      signal.addEventListener("abort", () => {
        input.off("end", onEnd);
        lines.close();
      });
      lines.once("close", onEnd);
      lines.once("line", resolve);
      lines.once("SIGINT", () => {
        reject(new Interruption("SIGINT", 130));
      });
      lines.setPrompt(question);
      lines.prompt();
    });
  } finally {
    asked.abort();
    if (line === undefined) output.write("\n");
  }
  return line;
}
