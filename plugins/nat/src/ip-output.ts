/** One object of `ip -json`. */
type IpObject = Readonly<Record<string, unknown>>;

/** The device of the route with the lowest metric in what `ip -json route show` printed; `undefined` when there is none. Pure. */
export function lowestMetric(output: string): string | undefined {
  const routes = parseList(output).flatMap(({ dev, metric }) =>
    typeof dev === "string"
      ? // No metric is the best one.
        [{ dev, metric: typeof metric === "number" ? metric : 0 }]
      : [],
  );
  return routes.sort((a, b) => a.metric - b.metric)[0]?.dev;
}

/** The bridge that the device in what `ip -json link show` printed is a port of. Pure. */
export function masterOf(output: string): string | undefined {
  const master = parseList(output)[0]?.["master"];
  return typeof master === "string" ? master : undefined;
}

/** Nothing is found in what is no JSON list. */
function parseList(text: string): readonly IpObject[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter(isObject) : [];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function isObject(value: unknown): value is IpObject {
  return typeof value === "object" && value !== null;
}
