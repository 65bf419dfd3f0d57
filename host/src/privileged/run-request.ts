import {
  abortAfter,
  throwIfCancelled,
  withAnySignal,
  type PrivilegedContext,
  type PrivilegedRequest,
} from "@banger/core";
import { PrivilegedInputError } from "./privileged-errors.js";

/**
 * Checks the input and carries a request out, within its time limit.
 * @throws {@link PrivilegedInputError}; what the request throws
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
  return withAnySignal([caller, abortAfter(request.timeoutMs)], (signal) =>
    request.run(parsed.data, { ...context, signal }),
  );
}
