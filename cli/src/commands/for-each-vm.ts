import {
  BangerError,
  describeError,
  isBangerError,
  resolveVm,
  type ErrorKind,
  type VmRecord,
} from "@banger/core/client";
import type { Cli, Outcome } from "./command.js";
import { operate, type Operate } from "./operate.js";

type Request = Pick<Operate, "method" | "body"> & {
  /** after `/v1/vms/<id>` */
  readonly subpath?: string;
};

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
    this.kind = alike?.kind ?? "failed";
    this.#lines = errors.map(describeOne);
  }

  override get details(): readonly string[] {
    return this.#lines;
  }
}

/**
 * Does the same with several VMs, side by side. All references are resolved against one snapshot, and a VM that is named twice is
 * served once. Those that can be served are, also when others fail.
 * @param done takes each VM as it was before
 * @returns their names as text and the results as JSON
 * @throws the failure of a single reference, or one error that lists them
 */
export async function forEachVm(
  cli: Cli,
  references: readonly string[],
  request: Request,
  done?: (vm: VmRecord, elapsedMs: number) => void,
): Promise<Outcome> {
  const known = await cli.client.read<readonly VmRecord[]>("/v1/vms");
  const failures: unknown[] = [];
  const chosen = new Map<string, VmRecord>();
  for (const reference of new Set(references)) {
    try {
      const vm = resolveVm(reference, known);
      chosen.set(vm.id, vm);
    } catch (error) {
      if (!isBangerError(error)) throw error;
      failures.push(error);
    }
  }
  const count = chosen.size + failures.length;
  const { method, body, subpath = "" } = request;
  const results = await Promise.allSettled(
    [...chosen.values()].map(async (vm) => {
      const { value, elapsedMs } = await operate<unknown>(cli, {
        method,
        path: `/v1/vms/${vm.id}${subpath}`,
        ...(body === undefined ? {} : { body }),
        ...(count > 1 ? { label: vm.name } : {}),
      });
      done?.(vm, elapsedMs);
      return { vm, value };
    }),
  );
  cli.io.interrupted.throwIfAborted();
  const served = results.flatMap((result) => {
    if (result.status === "fulfilled") return [result.value];
    failures.push(result.reason);
    return [];
  });
  if (failures.length > 0 && count === 1) throw failures[0];
  const names = served.map(({ vm }) => vm.name).join("\n");
  if (failures.length > 0) {
    if (names !== "") cli.io.stdout.write(`${names}\n`);
    throw new SomeFailedError(
      `${failures.length} of ${count} failed`,
      failures,
    );
  }
  return { json: served.map(({ value }) => value), text: () => names };
}

/** Keeps code and hint in the one line that there is. */
function describeOne(error: unknown): string {
  if (!isBangerError(error)) return describeError(error);
  const hint = error.hint === undefined ? "" : ` (${error.hint})`;
  return `${error.message}${hint} [${error.code}]`;
}
