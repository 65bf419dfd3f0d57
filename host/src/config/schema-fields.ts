import type { z } from "zod";

/** A setting that a schema describes. */
export interface SchemaField {
  readonly path: readonly string[];
  readonly description: string;
  readonly unit?: string;
  /** how a default is derived from the host */
  readonly derived?: string;
  /** as it would be written in the file */
  readonly defaultValue?: unknown;
}

/** The part of zod's definitions that is read here. By structure: a stranger's plugin may bring its own copy of zod. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
  readonly defaultValue?: unknown;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly catchall?: z.ZodType;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
}

/** A schema without what is wrapped around it, and what the wrappers said. */
interface Unwrapped {
  readonly definition: Definition;
  readonly meta: Readonly<Record<string, unknown>>;
  readonly defaultValue?: unknown;
}

function unwrap(schema: z.ZodType): Unwrapped {
  let current = schema;
  let meta: Readonly<Record<string, unknown>> = {};
  let fallback: { readonly defaultValue?: unknown } = {};
  for (;;) {
    const definition = current._zod.def as unknown as Definition;
    // The outermost wrapper's words count.
    meta = { ...current.meta(), ...meta };
    if (definition.defaultValue !== undefined && !("defaultValue" in fallback))
      fallback = { defaultValue: definition.defaultValue };
    const inner = definition.innerType ?? definition.in;
    if (inner === undefined) return { definition, meta, ...fallback };
    current = inner;
  }
}

/** Names that an object schema knows, `undefined` for a schema of another kind or one that takes any name. */
export function knownKeys(
  schema: z.ZodType,
): Readonly<Record<string, z.ZodType>> | undefined {
  const { definition } = unwrap(schema);
  const open =
    definition.catchall !== undefined &&
    (definition.catchall._zod.def as unknown as Definition).type !== "never";
  return open ? undefined : definition.shape;
}

/** Does it describe a table? */
export function hasKeys(schema: z.ZodType): boolean {
  const { shape, valueType } = unwrap(schema).definition;
  return (shape ?? valueType) !== undefined;
}

/** The schema of the values in an object, array or record. */
export function childSchema(
  schema: z.ZodType,
  key: string | number,
): z.ZodType | undefined {
  const { shape, element, valueType } = unwrap(schema).definition;
  if (shape !== undefined)
    return Object.hasOwn(shape, key) ? shape[key] : undefined;
  return element ?? valueType;
}

/** Every setting of a schema, those of nested tables with their path. A list or a map is one setting. */
export function schemaFields(
  schema: z.ZodType,
  path: readonly string[] = [],
): readonly SchemaField[] {
  const { definition, meta, ...fallback } = unwrap(schema);
  if (definition.shape !== undefined) {
    return Object.entries(definition.shape).flatMap(([key, field]) =>
      schemaFields(field, [...path, key]),
    );
  }
  const { description, unit, derived } = meta;
  return [
    {
      path,
      description: typeof description === "string" ? description : "",
      ...(typeof unit === "string" ? { unit } : {}),
      ...(typeof derived === "string" ? { derived } : {}),
      ...fallback,
    },
  ];
}
