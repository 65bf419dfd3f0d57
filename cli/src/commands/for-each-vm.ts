import {
  BangerError,
  describeError,
  isBangerError,
  resolveVm,
  type ErrorKind,
  type VmRecord,
} from "@banger/core/client";
import { reportToShow } from "../client/error-report.js";
import type { Cli, Outcome } from "./command.js";

/** The VMs that a command line means: by names, ids and prefixes, or all that have something in common. */
export type VmChoice = readonly string[] | ((vm: VmRecord) => boolean);

/**
 * What is done with one VM.
 * @param vm as it was before
 * @param label tells it from the others that are served side by side; absent when it is the only one
 */
export type ServeVm<T> = (
  vm: VmRecord,
  label: string | undefined,
) => Promise<T>;

export interface ServedVm<T> {
  /** as it was before */
  readonly vm: VmRecord;
  readonly value: T;
}

export interface ServedVms<T> {
  /** in the order in which they were first named */
  readonly served: readonly ServedVm<T>[];
  /** that the others failed */
  readonly error?: BangerError;
}

/** Not every one of several VMs could be served; the others were. */
class SomeFailedError extends BangerError {
  /** what all of them have in common, when they do */
  override readonly code: string;
  override readonly kind: ErrorKind;
  readonly #lines: readonly string[];

  constructor(message: string, errors: readonly unknown[]) {
    super(message, { cause: errors[0] });
    const [first] = errors;
    const alike =
      isBangerError(first) &&
      errors.every((one) => isBangerError(one) && one.code === first.code)
        ? first
        : undefined;
    this.code = alike?.code ?? "ERR_SEVERAL";
    // The command line as a whole was understood: wrong usage would mean that nothing was done.
    this.kind =
      alike === undefined || alike.kind === "usage" ? "failed" : alike.kind;
    this.#lines = errors.map(describeOne);
  }

  override get details(): readonly string[] {
    return this.#lines;
  }
}

/**
 * Does the same with several VMs, side by side. All references are resolved against one snapshot, and a VM that is named twice is
 * served once. Those that can be served are, also when others fail.
 * @throws the failure of a single reference, or one error that lists them when not one could be served
 */
export async function forEachVm<T>(
  cli: Cli,
  choice: VmChoice,
  serve: ServeVm<T>,
): Promise<ServedVms<T>> {
  const known = await cli.client.read<readonly VmRecord[]>("/v1/vms", {
    signal: cli.io.interrupted,
  });
  const chosen = choose(choice, known);
  const results = await Promise.allSettled(
    chosen.map(async (found) => {
      if (!("vm" in found)) throw found.error;
      const { vm } = found;
      const label = chosen.length > 1 ? vm.name : undefined;
      return { vm, value: await serve(vm, label) };
    }),
  );
  cli.io.interrupted.throwIfAborted();
  const served = results.flatMap((result) =>
    result.status === "fulfilled" ? [result.value] : [],
  );
  const failures = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : [],
  );
  if (failures.length === 0) return { served };
  if (results.length === 1) throw failures[0];
  const error = new SomeFailedError(
    `${failures.length} of ${results.length} failed`,
    failures,
  );
  if (served.length === 0) throw error;
  return { served, error };
}

/** The names of those that were served, a line each, and the error about the others. */
export function namesOutcome({ served, error }: ServedVms<unknown>): Outcome {
  return {
    text: () => served.map(({ vm }) => vm.name).join("\n"),
    ...(error === undefined ? {} : { error }),
  };
}

type Found = { readonly vm: VmRecord } | { readonly error: BangerError };

/** In the order in which they were first named, each once. */
function choose(
  choice: VmChoice,
  known: readonly VmRecord[],
): readonly Found[] {
  if (typeof choice === "function")
    return known.filter(choice).map((vm) => ({ vm }));
  const found = new Map<string, Found>();
  for (const reference of choice) {
    const one = resolve(reference, known);
    const key = "vm" in one ? `id ${one.vm.id}` : `reference ${reference}`;
    if (!found.has(key)) found.set(key, one);
  }
  return [...found.values()];
}

function resolve(reference: string, known: readonly VmRecord[]): Found {
  try {
    return { vm: resolveVm(reference, known) };
  } catch (error) {
    if (!isBangerError(error)) throw error;
    return { error };
  }
}

/** Keeps hint, code and operation in the one line that there is. */
function describeOne(error: unknown): string {
  if (!isBangerError(error)) return describeError(error);
  const { message, hint, code, operationId } = reportToShow(error);
  const origin = operationId === undefined ? code : `${code}, ${operationId}`;
  return `${message}${hint === undefined ? "" : ` (${hint})`} [${origin}]`;
}
