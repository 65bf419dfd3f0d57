/** Times and bounds of SSH to a guest. */
export interface SshLimits {
  /** longest wait for a connection, all attempts together, ms */
  readonly connectTimeoutMs: number;
  /** longest wait for one attempt, ms */
  readonly attemptTimeoutMs: number;
  /** pauses between attempts, ms; the last one repeats */
  readonly retryPausesMs: readonly number[];
  /** pause between two signs of life, ms */
  readonly keepaliveIntervalMs: number;
  /** signs of life that may stay without an answer */
  readonly keepaliveCountMax: number;
  /** sessions at once on one connection; below the `MaxSessions 100` of our images, so that some are left for ending processes */
  readonly maxSessions: number;
  /** connections to ports of the guest at once on one connection; sshd has no bound of its own */
  readonly maxPorts: number;
  /** longest wait for the guest to connect to one of its ports, ms */
  readonly portTimeoutMs: number;
  /** pause before a session is asked for again that the guest refused to open, ms */
  readonly sessionRetryMs: number;
  /** refusals in a row while no session of ours is open */
  readonly sessionRefusals: number;
  /** from SIGTERM to SIGKILL, ms */
  readonly terminateGraceMs: number;
  /** longest wait for a process to tell its id when it must end before it has, ms */
  readonly pidWaitMs: number;
  /** time for a session to close by itself once its process group is gone, ms */
  readonly closeWaitMs: number;
}

/** For guests under software emulation, where a handshake takes seconds. */
export const sshLimits: SshLimits = {
  connectTimeoutMs: 60_000,
  attemptTimeoutMs: 20_000,
  retryPausesMs: [50, 100, 200, 400],
  keepaliveIntervalMs: 15_000,
  keepaliveCountMax: 8,
  maxSessions: 96,
  maxPorts: 512,
  portTimeoutMs: 20_000,
  sessionRetryMs: 250,
  sessionRefusals: 10,
  terminateGraceMs: 2_000,
  pidWaitMs: 10_000,
  closeWaitMs: 1_000,
};
