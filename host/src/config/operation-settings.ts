import type { OperationSettings } from "@banger/core";
import type { ConfigValues } from "./load-config.js";

/**
 * The settings that core's operations read.
 * @param enabledPlugins asked each time: `banger plugin enable` changes them while the daemon runs
 */
export function operationSettings(
  config: ConfigValues,
  enabledPlugins: () => readonly string[],
): OperationSettings {
  const { image, ...defaults } = config.vmDefaults;
  const { firecracker: _ofTheDriver, ...vmm } = config.vmm;
  return {
    defaultImage: image,
    defaults,
    get enabledPlugins() {
      return enabledPlugins();
    },
    ...vmm,
  };
}
