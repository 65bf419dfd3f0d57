/** What the contract server does wrong, for one kind of request. */
export interface InjectedFault {
  readonly method: "GET" | "PUT" | "PATCH";
  /** as requested, such as `/drives/root`, or as described, such as `/drives/{drive_id}` */
  readonly path: string;
  /** which of the matching requests of one process, from 1; default: all of them */
  readonly nth?: number;
  readonly effect: FaultEffect;
}

/**
 * `answer`: this instead of doing anything. `delay`: late, in ms, but right. The others do what was asked and then: `half-reply` sends a
 * part of the answer and hangs up, `no-reply` hangs up, `garbage` answers what is no HTTP. `crash` ends the process as a signal would,
 * `before` doing anything or `after` the answer has left.
 */
export type FaultEffect =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly message: string;
    }
  | { readonly kind: "delay"; readonly ms: number }
  | { readonly kind: "half-reply" }
  | { readonly kind: "no-reply" }
  | { readonly kind: "garbage" }
  | { readonly kind: "crash"; readonly when: "before" | "after" };

/** How the contract server behaves; read once, when it starts. */
export interface FirecrackerSettings {
  /** the version it claims to be and whose limits it has; default 1.17.0 */
  readonly version?: string;
  /** `none`: InstanceStart is answered and no guest runs, for what needs none; default `qemu` */
  readonly guest?: "qemu" | "none";
  /** default `qemu-system-x86_64` from PATH */
  readonly qemuProgram?: string;
  /** appended to the kernel's command line, behind what emulation needs */
  readonly kernelArguments?: string;
  readonly faults?: readonly InjectedFault[];
  /** added to every answer, ms */
  readonly delayMs?: number;
  /** before the API socket appears, ms */
  readonly startDelayMs?: number;
  /** connections to the vsock socket get no answer for so long after InstanceStart, as before the guest has loaded its driver, ms */
  readonly vsockSilentMs?: number;
  /** whether the jailer may take away root's rights; default true */
  readonly jailerDropsPrivileges?: boolean;
}

/** One request as the server saw it; a line of requests.jsonl. */
export interface RecordedRequest {
  /** instance id, from `--id` */
  readonly id: string;
  readonly pid: number;
  readonly method: string;
  readonly path: string;
  /** parsed, if it was JSON; else the text; absent without a body */
  readonly body?: unknown;
  /** `null` when it got no answer */
  readonly status: number | null;
  readonly fault?: FaultEffect["kind"];
}

/** Files of the folder that the executables are in. */
export const contractFiles = {
  settings: "settings.json",
  description: "description.json",
  requests: "requests.jsonl",
  jailerProgram: "prepare-jail.cjs",
} as const;

/** Environment variable by which the jailer tells the server where that folder is in the jail. */
export const folderVariable = "FIRECRACKER_CONTRACT_FOLDER";

/** Is `version` at least `since`? Both like 1.14 or 1.14.0; what follows a hyphen is ignored. */
export function isAtLeast(version: string, since: string): boolean {
  const [major = 0, minor = 0, patch = 0] = numbers(version);
  const [sinceMajor = 0, sinceMinor = 0, sincePatch = 0] = numbers(since);
  if (major !== sinceMajor) return major > sinceMajor;
  if (minor !== sinceMinor) return minor > sinceMinor;
  return patch >= sincePatch;
}

function numbers(version: string): number[] {
  return (version.split("-")[0] ?? "").split(".").map(Number);
}
