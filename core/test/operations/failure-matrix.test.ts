import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { describeError, isBangerError } from "@banger/core";
import { callsOf, ownersOperations } from "./crash-scenarios.js";
import { CrashWorld } from "./crash-world.js";

beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }),
);
afterEach(() => void vi.useRealTimers());

const points = (
  await Promise.all(
    ownersOperations.map(async (scenario) => {
      const calls = await callsOf(scenario, () => CrashWorld.create());
      return calls.flatMap((call, index) =>
        (["before", "after", "abort"] as const).map((moment) => ({
          operation: scenario.name,
          scenario,
          call,
          moment,
          at: index + 1,
        })),
      );
    }),
  )
).flat();

type Point = (typeof points)[number];

/** @returns the world after the operation, and what that threw */
async function fail({ scenario, call, at, moment }: Point) {
  const world = await CrashWorld.create();
  await scenario.arrange(world);
  world.host.calls.expect({ at, moment });
  const { signal } = world.host.calls;
  const outcome = { hasEnded: false, error: undefined as unknown };
  void scenario
    .act(world, signal)
    .catch((thrown: unknown) => void (outcome.error = thrown))
    .finally(() => void (outcome.hasEnded = true));
  // A guest that could not be asked to power off has some time to.
  while (!outcome.hasEnded) await vi.advanceTimersByTimeAsync(1);
  const { error } = outcome;
  expect(world.host.calls.log[at - 1]).toBe(call);
  world.host.calls.expect();
  return { world, error };
}

/** Everything that an owner can read of an error, a line each. */
function linesOf(error: unknown): readonly string[] {
  return [describeError(error), ...(isBangerError(error) ? error.details : [])];
}

/** A VM that could not be asked to end is ended all the same. */
function isTolerated({ call }: Point): boolean {
  return ["guestAgent.powerOff", "vmmDriver.signal"].includes(call);
}

describe("an operation", () => {
  it.each(points)(
    "$operation that meets $moment at $at $call says why, and the VM can be deleted",
    async (point) => {
      const { world, error } = await fail(point);
      const left = await world.rows();
      if (point.moment !== "abort")
        expect(error === undefined).toBe(isTolerated(point));
      if (error !== undefined) {
        expect(isBangerError(error)).toBe(true);
        // The first cause is kept, in the error or in a line of it.
        expect(linesOf(error).join("\n")).toMatch(
          point.moment === "abort" ? /cancel/i : /for the test|the test wants/,
        );
      }
      // No VM runs that its owner was told has not started.
      if (error !== undefined && /launch|start \(/.test(point.operation))
        for (const vm of left)
          if (!point.operation.includes("running"))
            expect(vm.state).not.toBe("running");
      for (const vm of left) {
        // What is left over is said where the owner looks, and its record can follow unless it is the store that fails.
        if (vm.state === "error") expect(vm.runtime.lastError).toBeTruthy();
        if (vm.state !== "error" && !point.call.startsWith("vmStore."))
          expect([vm.state, vm.state === "running"]).toEqual([
            vm.state,
            world.lives(vm),
          ]);
      }
      await world.expectDeletable();
    },
  );

  it.each(points)(
    "$operation that met $moment at $at $call leaves nothing that the next daemon does not settle",
    async (point) => {
      const { world } = await fail(point);
      await world.succeed();
      await world.expectSettled();
      await world.expectUsable();
    },
  );

  it.each(
    points.filter(
      ({ operation, moment }) => operation === "launch" && moment === "abort",
    ),
  )("$operation cancelled at $at $call leaves nothing", async (point) => {
    const { world, error } = await fail(point);
    if (error === undefined)
      expect((await world.row("otter"))?.state).toBe("running");
    else {
      expect(error).toMatchObject({ code: "ERR_CANCELLED", kind: "cancelled" });
      expect(await world.rows()).toEqual([]);
      await world.expectSettled();
    }
  });
});
