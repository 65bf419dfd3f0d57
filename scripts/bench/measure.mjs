// Medians of interleaved runs, so that noise of a shared machine hits all variants alike, and how they are printed.

/** The value that `share` of them do not exceed, such as 0.99. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export const median = (values) => percentile(values, 0.5);

const summary = (values) => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
});

/**
 * Runs each variant in turn, `rounds` times. A variant returns what it measured; when that is nothing, its time counts, ms.
 * @returns what was measured, by name
 */
export async function collect(rounds, variants) {
  const measured = Object.fromEntries(
    Object.keys(variants).map((name) => [name, []]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(variants)) {
      const start = performance.now();
      const own = await run();
      measured[name].push(own ?? performance.now() - start);
    }
  }
  return measured;
}

/** Median, least and most of what was measured, by name. @param pick the number in it */
export function summarise(measured, pick = (value) => value) {
  return Object.fromEntries(
    Object.entries(measured).map(([name, list]) => [
      name,
      summary(list.map(pick)),
    ]),
  );
}

export async function interleave(rounds, variants) {
  return summarise(await collect(rounds, variants));
}

/** Prints what {@link summarise} made, each against `base`. */
export function table(title, results, base, unit = "ms") {
  console.log(`\n${title}`);
  const show = (value) =>
    unit === "s" ? (value / 1000).toFixed(2) : value.toFixed(1);
  const least = results[base].median;
  const compare = (name, value) => {
    if (name === base) return "";
    const more = `${value < least ? "" : "+"}${show(value - least)} ${unit}`;
    return least === 0
      ? `  ${more}`
      : `  ${more}, x${(value / least).toFixed(2)}`;
  };
  for (const [name, { median: middle, min, max }] of Object.entries(results)) {
    console.log(
      `  ${name.padEnd(34)} ${show(middle).padStart(8)} ${unit}  [${show(min)}..${show(max)}]${compare(name, middle)}`,
    );
  }
}
