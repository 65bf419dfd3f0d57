import type { OperationRegistry, VmRecord } from "@banger/core";

/** Is an operation on this VM under way? One whose client wrote a prefix that is another's too counts as well. */
export function isUnderWay(
  operations: OperationRegistry,
  { id, name }: Pick<VmRecord, "id" | "name">,
): boolean {
  return operations
    .list()
    .some(
      ({ state, vm }) =>
        state === "running" &&
        vm !== undefined &&
        (name.startsWith(vm) || id.startsWith(vm)),
    );
}
