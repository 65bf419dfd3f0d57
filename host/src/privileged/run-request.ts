import {
  throwIfCancelled,
  withinLimit,
  type PrivilegedContext,
  type PrivilegedRequest,
} from "@banger/core";
import { PrivilegedInputError } from "./privileged-errors.js";
import { endGraceMs } from "./protocol.js";

/**
 * Checks the input and carries a request out, within its time limit.
 * @throws {@link PrivilegedInputError}, TimeLimitError; CancelledError when `caller` aborts; what the request throws
 */
export async function runRequest<Input, Output>(
  request: PrivilegedRequest<Input, Output>,
  input: unknown,
  context: Omit<PrivilegedContext, "signal">,
  caller: AbortSignal,
): Promise<Output> {
  throwIfCancelled(caller, request.name);
  const parsed = request.input.safeParse(input);
  if (!parsed.success)
    throw new PrivilegedInputError(request.name, parsed.error);
  const { name: what, timeoutMs: limitMs } = request;
  try {
    return await withinLimit(
      { what, limitMs, graceMs: endGraceMs, owner: caller },
      (signal) => request.run(parsed.data, { ...context, signal }),
    );
  } catch (error) {
    // Node's own calls reject with an AbortError, which does not say who has left.
    if (error instanceof Error && error.name === "AbortError")
      throwIfCancelled(caller, what);
    throw error;
  }
}
