import type { Moment } from "./kill-plan.js";

/** One place of an operation at which a daemon is killed. */
export interface KillPoint {
  /** the call, counted from 1 */
  readonly at: number;
  /** contract and method */
  readonly call: string;
  readonly moment: Moment;
}

/** Calls that only look: a row of them leaves the host as it is. */
const looks = new Set([
  "commands.find",
  "handleStore.read",
  "imageStore.find",
  "imageStore.list",
  "vmStore.find",
  "vmStore.list",
]);

/**
 * The points of an operation, from the names of the calls that it makes. Pure.
 *
 * Of a row of calls of one name that only look, such as the search for every program that a start needs, the first and the last count:
 * between two of them nothing on the host is different.
 */
export function killPoints(calls: readonly string[]): readonly KillPoint[] {
  return calls.flatMap((call, index) => {
    const isInside =
      looks.has(call) && calls[index - 1] === call && calls[index + 1] === call;
    if (isInside) return [];
    return (["before", "after"] as const).map((moment) => ({
      at: index + 1,
      call,
      moment,
    }));
  });
}

/** Every nth of them, spread evenly. Pure. */
export function everyNth<T>(points: readonly T[], nth: number): readonly T[] {
  return points.filter((_, index) => {
    // Moments before and after a call take turns: with an even step all would be of one kind.
    const shift = nth % 2 === 0 ? Math.floor(index / nth) % 2 : 0;
    return index % nth === Math.floor(nth / 2) - shift;
  });
}

/** `count` of them at most, spread evenly. Pure. */
export function spread<T>(points: readonly T[], count: number): readonly T[] {
  const chosen = Math.min(count, points.length);
  return Array.from({ length: chosen }, (_, index) =>
    Math.floor(((index + 0.5) * points.length) / chosen),
  ).flatMap((at) => points[at] ?? []);
}
