/** What a value of Firecracker's API looks like: the part of OpenAPI 2 that its description uses. */
export type ApiSchema =
  | { readonly type: "string"; readonly values?: readonly string[] }
  | {
      readonly type: "integer";
      readonly minimum?: number;
      readonly maximum?: number;
    }
  | { readonly type: "boolean" }
  | { readonly type: "array"; readonly items: ApiSchema }
  | { readonly type: "map"; readonly values: ApiSchema }
  | {
      readonly type: "object";
      readonly required: readonly string[];
      readonly properties: Readonly<Record<string, ApiSchema>>;
    };

/** A value is not what its schema says; the message has the place and never the value. */
export class NonconformingValueError extends Error {}

/**
 * A copy of a value with exactly what its schema knows: properties of a newer Firecracker are left out, and so are those that are `null`,
 * which is how Firecracker writes what is not set. Pure.
 * @param path where the value is, for messages: `drives[0].path_on_host`
 * @throws {@link NonconformingValueError}
 */
export function conform(schema: ApiSchema, value: unknown, path = ""): unknown {
  const reject = (what: string): never => {
    throw new NonconformingValueError(
      `${path === "" ? "the value" : path} ${what}`,
    );
  };
  switch (schema.type) {
    case "boolean":
      if (typeof value !== "boolean") reject("is no boolean");
      return value;
    case "string":
      if (typeof value !== "string") return reject("is no string");
      if (!(schema.values?.includes(value) ?? true))
        reject("is none of the values that it may have");
      return value;
    case "integer": {
      if (typeof value !== "number" || !Number.isInteger(value))
        return reject("is no integer");
      const { minimum = -Infinity, maximum = Infinity } = schema;
      if (value < minimum || value > maximum) reject("is out of its range");
      return value;
    }
    case "array":
      if (!Array.isArray(value)) return reject("is no array");
      return value.map((item, index) =>
        conform(schema.items, item, `${path}[${String(index)}]`),
      );
    case "map":
      if (!isObject(value)) return reject("is no object");
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [
          key,
          conform(schema.values, item, `a value of ${path}`),
        ]),
      );
    case "object": {
      if (!isObject(value)) return reject("is no object");
      const known: [string, unknown][] = [];
      for (const [key, property] of Object.entries(schema.properties)) {
        const at = path === "" ? key : `${path}.${key}`;
        const item = Object.hasOwn(value, key) ? value[key] : undefined;
        if (item !== undefined && item !== null)
          known.push([key, conform(property, item, at)]);
        else if (schema.required.includes(key))
          throw new NonconformingValueError(`${at} is missing`);
      }
      return Object.fromEntries(known);
    }
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
