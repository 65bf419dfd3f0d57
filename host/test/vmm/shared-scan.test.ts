import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { SharedScan } from "../../src/vmm/shared-scan.js";

it("scans once for all who ask at the same time, and anew for who asks while it scans", async () => {
  const ends: ((value: number) => void)[] = [];
  const scan = new SharedScan(
    () => new Promise<number>((resolve) => ends.push(resolve)),
  );
  const first = [scan.ask(), scan.ask()];
  await setImmediate();
  expect(ends).toHaveLength(1);
  const second = [scan.ask(), scan.ask()];
  await setImmediate();
  expect(ends).toHaveLength(1);
  ends[0]?.(1);
  expect(await Promise.all(first)).toEqual([1, 1]);
  await setImmediate();
  expect(ends).toHaveLength(2);
  ends[1]?.(2);
  expect(await Promise.all(second)).toEqual([2, 2]);
  const third = scan.ask();
  await setImmediate();
  ends[2]?.(3);
  expect(await third).toBe(3);
});

it("scans again after one that failed", async () => {
  let isBroken = true;
  const scan = new SharedScan(() =>
    isBroken ? Promise.reject(new Error("no")) : Promise.resolve(1),
  );
  await expect(scan.ask()).rejects.toThrow("no");
  isBroken = false;
  expect(await scan.ask()).toBe(1);
});
