import { fakeVmId } from "@banger/core/testing";
import { expect, it } from "vitest";
import { Activity } from "../../src/api/activity.js";

it("knows what is under way", () => {
  const activity = new Activity(() => undefined);
  expect(activity.isIdle).toBe(true);
  const ended = activity.beginOperation(
    "op-1",
    "POST /v1/vms",
    new AbortController(),
  );
  expect(activity.operations).toMatchObject([
    { id: "op-1", what: "POST /v1/vms" },
  ]);
  expect(activity.isIdle).toBe(false);
  ended();
  expect(activity.operations).toEqual([]);
  expect(activity.isIdle).toBe(true);
});

it("counts the sessions of each VM and tells each end once", () => {
  const ends: [string, number][] = [];
  const activity = new Activity((id, remaining) => ends.push([id, remaining]));
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
  const activity = new Activity(() => undefined);
  const operation = new AbortController();
  const session = new AbortController();
  const operationEnded = activity.beginOperation("op-1", "x", operation);
  const sessionEnded = activity.beginSession(fakeVmId(1), session);
  let isOver = false;
  const end = activity.end(60_000).then(() => (isOver = true));
  expect([operation.signal.aborted, session.signal.aborted]).toEqual([
    true,
    true,
  ]);
  operationEnded();
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  sessionEnded();
  await end;
});

it("does not wait for ever for what does not end", async () => {
  const activity = new Activity(() => undefined);
  activity.beginOperation("op-1", "x", new AbortController());
  await activity.end(1);
  await new Activity(() => undefined).end(60_000);
});
