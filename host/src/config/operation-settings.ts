import type { OperationSettings } from "@banger/core";
import type { ConfigValues } from "./load-config.js";

/** The settings that core's operations read. Pure. */
export function operationSettings(config: ConfigValues): OperationSettings {
  const { image, ...defaults } = config.vmDefaults;
  return {
    defaultImage: image,
    defaults,
    enabledPlugins: config.plugins.enabled,
    ...config.vmm,
  };
}
