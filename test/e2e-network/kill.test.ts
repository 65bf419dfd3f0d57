import { describe, expect, inject, it } from "vitest";
import { runKillMatrix } from "../kill/kill-matrix.js";
import { problemsOf } from "../kill/kill-table.js";
import { killOperations } from "../kill/operations.js";
import { spread } from "../kill/points.js";

// The whole matrix is `npm run test:kill -- --bridge`.
describe("a daemon killed at a change to the host's network", () => {
  it("leaves nothing behind and loses no VM: one of each operation", async () => {
    const sampled = ["launch", "delete"];
    const results = await runKillMatrix({
      operations: killOperations.filter(({ name }) => sampled.includes(name)),
      images: { directory: inject("imagesDirectory"), remove: () => undefined },
      choose: (points) =>
        spread(
          points.filter(({ call }) => /^(network|privileged)\./.test(call)),
          1,
        ),
      lanes: 1,
      dnsPort: 15397,
    });
    expect(problemsOf(results)).toEqual([]);
    // A daemon that outlives its plan would prove nothing.
    const reached = results.flatMap(({ points }) => points);
    expect(reached.filter(({ diedIn }) => diedIn === undefined)).toEqual([]);
    expect(results.map(({ operation }) => operation)).toEqual(sampled);
  });
});
