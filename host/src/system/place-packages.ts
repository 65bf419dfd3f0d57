import type { ProgramPackage } from "./program-packages.js";

/** Where a package goes: `node_modules/a`, or `node_modules/b/node_modules/a` beside another one of its name. */
export interface PlacedPackage {
  readonly path: string;
  readonly source: ProgramPackage;
}

/**
 * Lays packages out so that each finds the same dependencies as where they come from: at the top, else below who needs it. Pure.
 * @param packages by directory; the first is the one that the others are there for
 */
export function placePackages(
  packages: ReadonlyMap<string, ProgramPackage>,
): readonly PlacedPackage[] {
  const placed = new Map<string, ProgramPackage>();
  const waiting: PlacedPackage[] = [];
  const place = (path: string, directory: string): void => {
    const source = packages.get(directory);
    if (source === undefined) throw new Error(`${directory} was not looked at`);
    placed.set(path, source);
    waiting.push({ path, source });
  };
  const [first] = packages.values();
  if (first === undefined) return [];
  place(`node_modules/${first.name}`, first.directory);
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    for (const [name, directory] of next.source.dependencies) {
      const seen = lookUp(placed, name, next.path);
      if (seen?.directory === directory) continue;
      const top = `node_modules/${name}`;
      place(placed.has(top) ? `${next.path}/${top}` : top, directory);
    }
  }
  for (const [path, { dependencies }] of placed)
    for (const [name, directory] of dependencies)
      if (lookUp(placed, name, path)?.directory !== directory)
        throw new Error(`${path} would find another ${name}`);
  return [...placed].map(([path, source]) => ({ path, source }));
}

/** What a module in the package at `path` gets as `name`. */
function lookUp(
  placed: ReadonlyMap<string, ProgramPackage>,
  name: string,
  path: string,
): ProgramPackage | undefined {
  for (let from = path; from !== "";) {
    const found = placed.get(`${from}/node_modules/${name}`);
    if (found) return found;
    const end = from.lastIndexOf("/node_modules/");
    from = end < 0 ? "" : from.slice(0, end);
  }
  return placed.get(`node_modules/${name}`);
}
