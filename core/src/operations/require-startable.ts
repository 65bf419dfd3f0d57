import type { HostFacts } from "../contracts/host-facts.js";
import { PreflightError } from "../lifecycle/hook-errors.js";
import {
  throwIfCancelled,
  type OperationContext,
} from "../lifecycle/operation.js";
import type { Image } from "../model/image.js";
import type { VmRecord } from "../model/vm.js";
import type { PluginSet } from "../plugins/plugin-set.js";
import { checkResources } from "./resolve-spec.js";

/**
 * Asks every plugin whether the VM may start here. Warnings are progress.
 * @throws PreflightError with all reasons against it, InvalidValueError, CancelledError
 */
export async function requireStartable(
  hostFacts: HostFacts,
  vm: VmRecord,
  image: Image,
  plugins: PluginSet,
  operation: OperationContext,
): Promise<void> {
  checkResources(vm.spec, hostFacts);
  const findings = await plugins.preflight(vm, image, operation);
  for (const finding of findings.filter(
    ({ severity }) => severity === "warning",
  )) {
    operation.progress("preflight", `warning: ${finding.message}`);
    operation.logger.warn("Preflight warning", { finding });
  }
  const errors = findings.filter(({ severity }) => severity === "error");
  // What a plugin says about a cancel is no finding.
  throwIfCancelled(operation.signal, "preflight");
  if (errors.length > 0) throw new PreflightError(vm.name, errors);
}
