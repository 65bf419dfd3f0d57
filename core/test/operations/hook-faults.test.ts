import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  definePlugin,
  describeError,
  isBangerError,
  type HookContext,
  type HookName,
  type Plugin,
} from "@banger/core";
import { fakeOperation } from "@banger/core/testing";
import { ownersOperations, type Scenario } from "./crash-scenarios.js";
import { CrashWorld } from "./crash-world.js";

// Limits are minutes; here they pass at once.
beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }),
);
afterEach(() => void vi.useRealTimers());

const never = (): Promise<never> => new Promise(() => undefined);

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const giveUp = (): void => reject(new Error("given up"));
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp);
  });

type Fault = "throws" | "gives up" | "ignores the abort";

const behaviours: Readonly<
  Record<Fault, (signal: AbortSignal) => Promise<never>>
> = {
  throws: () => Promise.reject(new Error("broken")),
  "gives up": untilAborted,
  "ignores the abort": never,
};

/** A plugin whose one hook misbehaves while a test wants it. */
class BadPlugin {
  readonly plugin: Plugin;
  fault: Fault | undefined;
  /** while the hook runs in which it misbehaves */
  onFault = (): void => undefined;

  constructor(hook: HookName) {
    this.plugin = definePlugin({
      id: "bad",
      apply: (hooks) => {
        const tap = hooks[hook] as {
          tapPromise(
            name: string,
            work: (...args: unknown[]) => Promise<unknown>,
          ): void;
        };
        tap.tapPromise("bad", async (...args) => {
          const { signal } = args.at(-1) as HookContext;
          if (this.fault === undefined) return undefined;
          this.onFault();
          return behaviours[this.fault](signal);
        });
      },
    });
  }
}

/** The outcome of work whose waits pass at once. @throws Error when it has not ended after an hour */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  let outcome: { readonly error: unknown } | undefined;
  void work.then(
    () => (outcome = { error: undefined }),
    (error: unknown) => (outcome = { error }),
  );
  for (let minute = 0; minute < 60; minute++) {
    await vi.advanceTimersByTimeAsync(60_000);
    if (outcome) return outcome.error;
  }
  throw new Error("the operation hangs");
}

const scenarios = (pattern: RegExp): readonly Scenario[] =>
  ownersOperations.filter(({ name }) => pattern.test(name));

const starting = scenarios(/^(launch|start|restart)/);
const ending = scenarios(
  /^(stop|kill|delete \((?!created)|prune|restart \(running)/,
);

const cases = (hook: HookName, list: readonly Scenario[]) =>
  list.flatMap((scenario) =>
    (["throws", "gives up", "ignores the abort"] as const).flatMap((fault) =>
      ["its limit", "a cancel"]
        .filter((end) => end !== "a cancel" || fault !== "throws")
        .map((end) => ({
          hook,
          operation: scenario.name,
          scenario,
          fault,
          end,
        })),
    ),
  );

type Case = ReturnType<typeof cases>[number];

async function run({ hook, scenario, fault, end }: Case) {
  const bad = new BadPlugin(hook);
  const world = await CrashWorld.create([bad.plugin]);
  await scenario.arrange(world);
  const before = await world.row("otter");
  const aborts = new AbortController();
  bad.fault = fault;
  if (end === "a cancel") bad.onFault = () => aborts.abort();
  const error = await outcomeOf(scenario.act(world, aborts.signal));
  bad.fault = undefined;
  return { world, before, error };
}

/** What an owner reads of it, a line each. */
function reading(error: unknown): string {
  const details = isBangerError(error) ? error.details : [];
  return [describeError(error), ...details].join("\n");
}

function expectCause(error: unknown, { hook, fault, end }: Case): void {
  expect(isBangerError(error)).toBe(true);
  if (end === "a cancel")
    expect(error).toMatchObject({ code: "ERR_CANCELLED" });
  else
    expect(reading(error)).toContain(
      fault === "throws" ? "broken" : `${hook} of plugin bad did not end`,
    );
}

describe("a hook of a start", () => {
  const hooks = [
    "preflight",
    "guestConfig",
    "machineConfig",
    "prepareHost",
    "postStart",
  ] as const;

  it.each(hooks.flatMap((hook) => cases(hook, starting)))(
    "$hook that $fault until $end fails $operation and leaves nothing",
    async (point) => {
      const { world, before, error } = await run(point);
      expectCause(error, point);
      await world.expectSettled();
      const [vm, ...others] = await world.rows();
      expect(others).toEqual([]);
      const vmmRan = point.hook === "postStart" && point.end !== "a cancel";
      if (!before && !vmmRan) expect(vm).toBeUndefined();
      if (vmmRan) expect(vm?.state).toBe("error");
      if (vmmRan) expect(vm?.runtime.lastError).toBeTruthy();
      await world.expectUsable();
    },
  );
});

describe("cleanup", () => {
  it.each(cases("cleanup", ending).filter(({ end }) => end === "its limit"))(
    "that $fault fails $operation, which runs to the end and names what may be left",
    async (point) => {
      const { world, error } = await run(point);
      expectCause(error, point);
      const vm = await world.row("otter");
      expect(vm).toMatchObject({ state: "error" });
      expect(vm?.runtime.lastError).toContain("bad");
      expect(world.lives(vm!)).toBe(false);
      await world.expectUsable();
    },
  );

  it.each(cases("cleanup", ending).filter(({ end }) => end === "a cancel"))(
    "that $fault is not cut short by a cancel of $operation",
    async (point) => {
      const { world, error } = await run(point);
      expect(error).toBeDefined();
      expect((await world.row("otter"))?.runtime.lastError).toContain(
        "cleanup of plugin bad did not end",
      );
      await world.expectUsable();
    },
  );
});

describe("configChange", () => {
  it.each(cases("configChange", scenarios(/^(set|rename)/)))(
    "that $fault until $end fails $operation, which is taken back",
    async (point) => {
      const { world, before, error } = await run(point);
      expectCause(error, point);
      const after = await world.row("otter");
      expect(after?.spec).toEqual(before?.spec);
      expect(after?.runtime).toEqual(before?.runtime);
      await world.expectSettled();
      await world.expectUsable();
    },
  );
});

describe("postStart and cleanup when a daemon begins", () => {
  it.each(["throws", "gives up", "ignores the abort"] as const)(
    "keeps VMs running whose plugin %s",
    async (fault) => {
      const bad = new BadPlugin("postStart");
      const world = await CrashWorld.create([bad.plugin]);
      await world.daemon.vmService.launch({ name: "otter" }, fakeOperation());
      bad.fault = fault;
      expect(await outcomeOf(world.succeed())).toBeUndefined();
      bad.fault = undefined;
      const vm = await world.row("otter");
      expect(world.lives(vm!)).toBe(true);
      expect(vm?.runtime.problems?.length).toBeGreaterThan(0);
      await world.expectUsable();
    },
  );

  it.each(["throws", "gives up", "ignores the abort"] as const)(
    "ends with problems for a dead VM whose plugin %s",
    async (fault) => {
      const bad = new BadPlugin("cleanup");
      const world = await CrashWorld.create([bad.plugin]);
      const { id } = await world.daemon.vmService.launch(
        { name: "otter" },
        fakeOperation(),
      );
      world.host.killDaemons();
      world.host.vmm.end(id);
      bad.fault = fault;
      expect(await outcomeOf(world.succeed())).toBeUndefined();
      bad.fault = undefined;
      const vm = await world.row("otter");
      expect(vm?.state).toBe("error");
      expect(vm?.runtime.problems?.length).toBeGreaterThan(0);
      await world.expectUsable();
    },
  );
});

describe("doctor", () => {
  it.each(["throws", "gives up", "ignores the abort"] as const)(
    "that %s is that plugin's failed check",
    async (fault) => {
      const bad = new BadPlugin("doctor");
      const world = await CrashWorld.create([bad.plugin]);
      const set = await world.daemon.pluginRegistry.select([
        ...world.plugins.map(({ id }) => id),
      ]);
      bad.fault = fault;
      const sections = set.doctor(fakeOperation());
      expect(await outcomeOf(sections)).toBeUndefined();
      const failed = (await sections).flatMap(({ section, checks }) =>
        checks.filter(({ status }) => status === "fail").map(() => section),
      );
      expect(failed).toEqual(["bad"]);
    },
  );
});
