import { OperationRegistry } from "@banger/core";
import { fakeVmId, memoryLogger } from "@banger/core/testing";
import { expect, it } from "vitest";
import { Activity } from "../../src/api/activity.js";

function activityOf(
  onSessionEnd: (vmId: string, remaining: number) => void = () => undefined,
) {
  const operations = new OperationRegistry({ logger: memoryLogger() });
  return { operations, activity: new Activity(operations, onSessionEnd) };
}

it("is idle while there is neither an operation nor a session", async () => {
  const { operations, activity } = activityOf();
  expect(activity.isIdle).toBe(true);
  await operations.run("x", {}, () => {
    expect(activity.isIdle).toBe(false);
    return Promise.resolve();
  });
  expect(activity.isIdle).toBe(true);
  const ended = activity.beginSession(fakeVmId(1), new AbortController());
  expect(activity.isIdle).toBe(false);
  ended();
  expect(activity.isIdle).toBe(true);
});

it("tells when a session begins", () => {
  const operations = new OperationRegistry({ logger: memoryLogger() });
  const told: string[] = [];
  const activity: Activity = new Activity(
    operations,
    () => undefined,
    (vmId) => told.push(`${vmId} ${String(activity.sessionsOf(vmId))}`),
  );
  activity.beginSession(fakeVmId(1), new AbortController());
  expect(told).toEqual([`${fakeVmId(1)} 1`]);
});

it("counts the sessions of each VM and tells each end once", () => {
  const ends: [string, number][] = [];
  const { activity } = activityOf((id, remaining) =>
    ends.push([id, remaining]),
  );
  const [one, two] = [fakeVmId(1), fakeVmId(2)];
  const first = activity.beginSession(one, new AbortController());
  const second = activity.beginSession(one, new AbortController());
  const other = activity.beginSession(two, new AbortController());
  expect([activity.sessionsOf(one), activity.sessionsOf(two)]).toEqual([2, 1]);
  first();
  first();
  expect(activity.sessionsOf(one)).toBe(1);
  second();
  const third = activity.beginSession(one, new AbortController());
  // A late second call must not end the session that began since.
  second();
  expect(activity.sessionsOf(one)).toBe(1);
  other();
  third();
  expect(ends).toEqual([
    [one, 1],
    [one, 0],
    [two, 0],
    [one, 0],
  ]);
  expect(activity.isIdle).toBe(true);
});

it("ends by cancelling everything and waiting for its clean-up", async () => {
  const { operations, activity } = activityOf();
  let operationEnded = (): void => undefined;
  let aborted = false;
  const running = operations.run("x", {}, ({ signal }) => {
    signal.addEventListener("abort", () => (aborted = true));
    return new Promise<void>((resolve) => (operationEnded = resolve));
  });
  const session = new AbortController();
  const sessionEnded = activity.beginSession(fakeVmId(1), session);
  let isOver = false;
  const end = activity.end(60_000).then(() => (isOver = true));
  expect([aborted, session.signal.aborted]).toEqual([true, true]);
  sessionEnded();
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  operationEnded();
  await end;
  await running;
});

it("does not wait for ever for what does not end", async () => {
  const { operations, activity } = activityOf();
  void operations.run("x", {}, () => new Promise(() => undefined));
  activity.beginSession(fakeVmId(1), new AbortController());
  await activity.end(1);
  await activityOf().activity.end(60_000);
});
