import { describe, expect, inject, it } from "vitest";
import { runKillMatrix } from "../kill/kill-matrix.js";
import { problemsOf } from "../kill/kill-table.js";
import { killOperations } from "../kill/operations.js";
import { spread } from "../kill/points.js";

// The whole matrix is `npm run test:kill`; its result is in docs/reliability.md.
describe("a daemon killed in the middle of an operation", () => {
  it("leaves nothing behind and loses no VM: two points of each operation on a VM", async () => {
    const sampled = ["start", "stop", "restart", "delete"];
    const results = await runKillMatrix({
      operations: killOperations.filter(({ name }) => sampled.includes(name)),
      images: { directory: inject("imagesDirectory"), remove: () => undefined },
      choose: (points) => spread(points, 2),
      lanes: 2,
      dnsPort: 15395,
    });
    expect(problemsOf(results)).toEqual([]);
    expect(
      results.map(({ operation, points }) => [operation, points.length]),
    ).toEqual(sampled.map((name) => [name, 2]));
    // A daemon that outlives its plan would prove nothing.
    const reached = results.flatMap(({ points }) => points);
    expect(reached.filter(({ diedIn }) => diedIn === undefined)).toEqual([]);
  });
});
