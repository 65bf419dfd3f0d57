import type { z } from "zod";
import { configSchema } from "./config-schema.js";
import {
  valueAt,
  type ConfigSource,
  type LoadedConfig,
} from "./load-config.js";
import { schemaFields } from "./schema-fields.js";

/** One setting, as `banger config show` prints it. */
export interface ConfigRow {
  /** dotted */
  readonly key: string;
  /** as it is, or would be, written in the file; `undefined` when there is none */
  readonly value: unknown;
  readonly source: ConfigSource;
  readonly unit?: string;
  readonly description: string;
}

/** A plugin's section and the schema that describes it. */
export interface DescribedSection {
  readonly configKey: string;
  readonly schema: z.ZodType;
}

/** Every setting with its value and where that comes from: banger's own, then those of the sections. Pure. */
export function describeConfig(
  config: LoadedConfig,
  sections: readonly DescribedSection[],
): readonly ConfigRow[] {
  const own = schemaFields(configSchema).map((field): ConfigRow => {
    const key = field.path.join(".");
    const { source = "default", value } = config.provenance.get(key) ?? {};
    return row(key, value, source, field);
  });
  const others = sections.flatMap(({ configKey, schema }) =>
    schemaFields(schema).map((field): ConfigRow => {
      const key = ["plugins", configKey, ...field.path].join(".");
      const written = valueAt(config.sections.get(configKey), field.path);
      return written === undefined
        ? row(key, field.defaultValue, "default", field)
        : row(key, written, "file", field);
    }),
  );
  return [...own, ...others];
}

function row(
  key: string,
  value: unknown,
  source: ConfigSource,
  {
    unit,
    description,
  }: { readonly unit?: string; readonly description: string },
): ConfigRow {
  return {
    key,
    value,
    source,
    ...(unit === undefined ? {} : { unit }),
    description,
  };
}
