import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { Turns } from "../../src/privileged/turns.js";

it("gives turns in order, no more than so many at once, whatever becomes of them", async () => {
  const turns = new Turns(3);
  const { signal } = new AbortController();
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  const outcomes = await Promise.allSettled(
    Array.from({ length: 50 }, (_, place) =>
      turns.run("work", signal, async () => {
        begun.push(place);
        most = Math.max(most, ++running);
        await sleep(1);
        running -= 1;
        if (place % 5 === 0) throw new Error(String(place));
        return place;
      }),
    ),
  );
  expect(most).toBe(3);
  expect(begun).toEqual([...begun].sort((a, b) => a - b));
  expect(
    outcomes.map((outcome) =>
      outcome.status === "fulfilled" ? outcome.value : "failed",
    ),
  ).toEqual(begun.map((place) => (place % 5 === 0 ? "failed" : place)));
  expect(turns.waiting).toBe(0);
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

it("lets those go who leave while they wait, and nobody else", async () => {
  const turns = new Turns(1);
  const [leaving, staying] = [new AbortController(), new AbortController()];
  let release = (): void => undefined;
  const first = turns.run(
    "work",
    staying.signal,
    () => new Promise<void>((resolve) => (release = resolve)),
  );
  const gone = [1, 2].map(() =>
    expect(
      turns.run("work", leaving.signal, () => Promise.resolve("ran")),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" }),
  );
  const stays = turns.run("work", staying.signal, () => Promise.resolve("ran"));
  expect(turns.waiting).toBe(3);
  expect(getEventListeners(leaving.signal, "abort")).toHaveLength(1);
  leaving.abort();
  await Promise.all(gone);
  expect(turns.waiting).toBe(1);
  await expect(
    turns.run("work", leaving.signal, () => Promise.resolve("ran")),
  ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  release();
  await first;
  expect(await stays).toBe("ran");
  expect(getEventListeners(leaving.signal, "abort")).toHaveLength(0);
  expect(getEventListeners(staying.signal, "abort")).toHaveLength(0);
  expect(
    await turns.run("work", staying.signal, async () => Promise.resolve(7)),
  ).toBe(7);
});
