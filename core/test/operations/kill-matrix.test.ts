import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { VmRecord, VmState } from "@banger/core";
import {
  callsOf,
  ownersOperations,
  reconciles,
  refusals,
} from "./crash-scenarios.js";
import { CrashWorld, identity } from "./crash-world.js";

// What a killed daemon was waiting for must not keep the test's process waiting.
beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }),
);
afterEach(() => void vi.useRealTimers());

const scenarios = [...ownersOperations, ...refusals, ...reconciles];

const points = (
  await Promise.all(
    scenarios.map(async (scenario) => {
      const calls = await callsOf(scenario, () => CrashWorld.create());
      return calls.flatMap((call, index) =>
        (["before", "after"] as const).map((when) => ({
          operation: scenario.name,
          scenario,
          call,
          when,
          fault: { at: index + 1, moment: `kill-${when}` as const },
        })),
      );
    }),
  )
).flat();

type Point = (typeof points)[number];

/** The world as the next daemon finds it. */
async function kill({
  scenario,
  call,
  fault,
}: Point): Promise<{ world: CrashWorld; withDisk: readonly VmRecord[] }> {
  const world = await CrashWorld.create();
  await scenario.arrange(world);
  const withDisk = (await world.rows()).filter((vm) => world.hasDisk(vm));
  const { signal } = new AbortController();
  const killed = await world.killedAt(fault, () => scenario.act(world, signal));
  expect(killed).toBe(true);
  expect(world.host.calls.log[fault.at - 1]).toBe(call);
  return { world, withDisk };
}

/** What must become of a VM, from its record and from whether its VMM lives. */
function fateOf(
  { state, runtime }: VmRecord,
  lives: boolean,
): VmState | "gone" {
  if (runtime.provisional || runtime.deleting) return "gone";
  if (state !== "running") return state;
  return lives ? "running" : "stopped";
}

describe("a daemon that is killed", () => {
  it("is killed at every call of every operation", () => {
    expect(new Set(points.map(({ operation }) => operation)).size).toBe(
      scenarios.length,
    );
    // So that an operation whose calls are no longer seen does not pass for want of points.
    expect(points.length).toBeGreaterThan(600);
  });

  it.each(points)(
    "in $operation, $when $fault.at $call, leaves nothing and loses no VM; each can be started, stopped and deleted",
    async (point) => {
      const { world, withDisk } = await kill(point);
      const found = (await world.rows()).map((vm) => ({
        vm,
        fate: fateOf(vm, world.lives(vm)),
      }));
      // Whatever else happens to it, a VM of its owner's goes only when its owner said so.
      if (found.some(({ fate }) => fate === "gone"))
        expect(point.operation).toMatch(/launch|delete|prune/);
      if (found.length === 0)
        expect(point.operation).toMatch(/create|launch|delete|prune/);
      await world.succeed();
      await world.expectSettled();
      expect((await world.rows()).map(identity)).toEqual(
        found
          .filter(({ fate }) => fate !== "gone")
          .map(({ vm, fate }) => ({ ...identity(vm), state: fate })),
      );
      for (const { id } of withDisk)
        for (const vm of await world.rows())
          if (vm.id === id) expect(world.hasDisk(vm)).toBe(true);
      if (point.operation === "launch")
        for (const vm of await world.rows()) expect(vm.state).toBe("running");
      await world.expectUsable();
    },
  );
});
