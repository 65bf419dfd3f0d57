import type {
  CheckSection,
  OperationRegistry,
  ReconcileReport,
} from "@banger/core";
import { readRoute, type Route } from "../route.js";

export interface DaemonFacts {
  readonly version: string;
  readonly build: string;
  /** ISO 8601, UTC */
  readonly startedAt: string;
  readonly logFile: string;
}

export interface DaemonRouteDeps {
  readonly facts: DaemonFacts;
  readonly operations: OperationRegistry;
  readonly countRunning: () => Promise<number>;
  /** `undefined` while it is still under way */
  readonly reconcileReport: () => ReconcileReport | undefined;
  /** asks the daemon to end, after this answer is on its way */
  readonly requestStop: () => void;
  readonly diagnose: () => Promise<readonly CheckSection[]>;
  readonly requirements: () => Promise<unknown>;
  readonly describeConfig: () => Promise<unknown>;
}

export function daemonRoutes(deps: DaemonRouteDeps): readonly Route[] {
  const { facts, operations } = deps;
  return [
    readRoute({
      method: "GET",
      path: "/v1/daemon",
      summary:
        "The daemon: process, build, memory, VMs, what it found when it began, operations",
      handle: async () => ({
        ...facts,
        pid: process.pid,
        uptimeSeconds: Math.round(process.uptime()),
        residentBytes: process.memoryUsage.rss(),
        runningVms: await deps.countRunning(),
        reconcile: deps.reconcileReport(),
        operations: operations
          .list()
          .filter(({ state }) => state === "running"),
      }),
    }),
    readRoute({
      method: "POST",
      path: "/v1/daemon/stop",
      summary: "End the daemon; VMs run on",
      handle: () => {
        deps.requestStop();
        return Promise.resolve({ pid: process.pid });
      },
    }),
    readRoute({
      method: "GET",
      path: "/v1/doctor",
      summary: "Checks of the host and of every enabled plugin",
      handle: deps.diagnose,
    }),
    readRoute({
      method: "GET",
      path: "/v1/setup",
      summary: "Host programs that banger needs, and which are missing",
      handle: deps.requirements,
    }),
    readRoute({
      method: "GET",
      path: "/v1/config",
      summary: "Every setting, its value and where it came from",
      handle: deps.describeConfig,
    }),
  ];
}
