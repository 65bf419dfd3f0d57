import type { Output } from "../io.js";

/** Writes and resolves when the output takes more; one that is closed or broken takes everything. */
export function printTo(
  output: Pick<Output, "destroyed" | "write" | "on" | "off">,
  bytes: Uint8Array | string,
  signal: AbortSignal,
): Promise<void> {
  if (output.destroyed || output.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      output.off("drain", done).off("close", done).off("error", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    output.on("drain", done).on("close", done).on("error", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
