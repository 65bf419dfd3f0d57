import { z } from "zod";
import { BangerError } from "../errors.js";

/** The version of the plugin API that this core speaks. */
export const pluginApiVersion = 1;

/** Keys of the `[plugins]` table that are not plugin sections. */
export const reservedConfigKeys: readonly string[] = ["enabled", "packages"];

const id = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,31}$/,
    "1 to 32 of a-z 0-9 -, beginning with a letter",
  );

export const pluginManifestSchema = z.strictObject({
  kind: z.literal("plugin"),
  id,
  apiVersion: z.literal(
    pluginApiVersion,
    `this banger speaks plugin API ${String(pluginApiVersion)}`,
  ),
  /** plugins that must be enabled too, and are applied before */
  requires: z.array(id).default([]),
  /** plugins that are applied before, when they are enabled */
  after: z.array(id).default([]),
  /** name of its section below `[plugins]` */
  configKey: id
    .refine((key) => !reservedConfigKeys.includes(key), "reserved")
    .optional(),
});

/** The `banger` key of a plugin's package.json: all that listing, enabling and ordering need, without running its code. */
export type PluginManifest = z.output<typeof pluginManifestSchema>;

export class PluginManifestError extends BangerError {
  override readonly code = "ERR_PLUGIN_MANIFEST";
  constructor(packageName: string, problem: string, cause?: unknown) {
    super(`the package ${packageName} is no usable plugin: ${problem}`, {
      hint: `Remove it from [plugins] packages, or ask its author`,
      cause,
    });
  }
}

/**
 * Reads the manifest out of a parsed package.json.
 * @throws {@link PluginManifestError}
 */
export function parsePluginManifest(
  packageName: string,
  packageJson: unknown,
): PluginManifest {
  const manifest = z.looseObject({ banger: z.unknown() }).safeParse(packageJson)
    .data?.banger;
  if (manifest === undefined) {
    throw new PluginManifestError(
      packageName,
      'its package.json has no "banger" key',
    );
  }
  const parsed = pluginManifestSchema.safeParse(manifest);
  if (parsed.success) return parsed.data;
  throw new PluginManifestError(packageName, z.prettifyError(parsed.error));
}
