import type { Plugin } from "@banger/core";
import {
  describePluginContract,
  type PluginContractOptions,
} from "@banger/core/testing";

/** Runs the kit under a runner of its own. @returns by test name, the message of what failed */
export async function failuresOf(
  plugin: Plugin,
  options: Partial<PluginContractOptions> = {},
): Promise<Record<string, string>> {
  const tests = new Map<string, () => Promise<void>>();
  describePluginContract(plugin, {
    packageJson: {
      banger: {
        kind: "plugin",
        id: "sample",
        apiVersion: 1,
        configKey: "sample",
      },
    },
    ...options,
    runner: {
      describe: (_name, body) => body(),
      it: (name, body) => tests.set(name, body),
    },
  });
  const failures: Record<string, string> = {};
  for (const [name, body] of tests) {
    try {
      await body();
    } catch (error) {
      failures[name] = error instanceof Error ? error.message : String(error);
    }
  }
  return failures;
}
