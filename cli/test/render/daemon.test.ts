import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import type { DaemonStatus } from "../../src/commands/daemon.js";
import { renderDaemon } from "../../src/render/daemon.js";
import { styleOf } from "../../src/render/style.js";

const status: DaemonStatus = {
  version: "1.2.3",
  build: "b1",
  startedAt: "2026-01-02T03:04:05.000Z",
  logFile: "/state/logs/bangerd.log",
  pid: 42,
  uptimeSeconds: 5,
  residentBytes: 64 * 2 ** 20,
  runningVms: 2,
  operations: [],
};

function lines(changes: Partial<DaemonStatus>): readonly string[] {
  const plain = styleOf(new PassThrough(), {});
  const own = { version: "1.2.3", id: "b1" };
  return renderDaemon({ ...status, ...changes }, own, plain)
    .split("\n")
    .map((line) => line.replace(/ {2,}/, ": "));
}

it("shows what the daemon found when it began", () => {
  const shown = lines({
    reconcile: {
      startedAt: status.startedAt,
      durationMs: 12,
      adopted: ["web", "db"],
      cleaned: ["ci"],
      removed: [],
      problems: [
        { vm: "web", text: "handles.json is damaged\u001b[2J" },
        { vm: "db", text: "did not answer" },
      ],
    },
  });
  expect(shown.slice(-4)).toEqual([
    "adopted: web, db",
    "cleaned up: ci",
    "problem: web: handles.json is damaged[2J",
    "problem: db: did not answer",
  ]);
});

it("says nothing of it when there was nothing, or while it looks", () => {
  const nothing = {
    startedAt: status.startedAt,
    durationMs: 1,
    ...{ adopted: [], cleaned: [], removed: [], problems: [] },
  };
  const last = "log: /state/logs/bangerd.log";
  expect(lines({ reconcile: nothing }).at(-1)).toBe(last);
  expect(lines({}).at(-1)).toBe(last);
});
