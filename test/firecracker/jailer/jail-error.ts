/** The jailer refuses, in the real one's words where public sources give them. */
export class JailError extends Error {}

/** Runs a step; a system error becomes a refusal. */
export function step<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof JailError) throw error;
    throw new JailError(`${what}: ${(error as Error).message}`);
  }
}
