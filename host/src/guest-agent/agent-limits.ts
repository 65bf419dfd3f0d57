/** Bounds on what a guest may make the host wait for or keep. */
export interface AgentLimits {
  /** longest reply line, bytes */
  readonly maxReplyBytes: number;
  /** most bytes that are skipped while one answer is waited for */
  readonly maxSkippedBytes: number;
  /** most bytes that may come while nobody has asked */
  readonly maxUnaskedBytes: number;
  /** longest wait for a VMM to open a stream to the guest, ms */
  readonly openTimeoutMs: number;
  /** pause between two attempts to connect, ms */
  readonly connectRetryMs: number;
  /** pause between two requests for synchronisation, ms */
  readonly syncIntervalMs: number;
  /** requests for synchronisation after which the pause grows to {@link slowSyncIntervalMs} */
  readonly quickSyncs: number;
  readonly slowSyncIntervalMs: number;
  /** longest wait for one synchronisation of an agent that ran before, ms */
  readonly syncTimeoutMs: number;
  /** longest wait for the answer to a command, ms */
  readonly replyTimeoutMs: number;
  /** how long a refusal of a command that has no answer is waited for, ms */
  readonly refusalGraceMs: number;
}

/** For guests under software emulation, where an answer can take seconds. */
export const agentLimits: AgentLimits = {
  // What the two outputs of a process take, 1 MiB each, as base64.
  maxReplyBytes: 3 << 20,
  maxSkippedBytes: 8 << 20,
  maxUnaskedBytes: 64 << 10,
  // Firecracker gives a guest 2 s to accept (src/vmm/src/devices/virtio/vsock/csm, CONN_REQUEST_TIMEOUT_MS).
  openTimeoutMs: 5_000,
  connectRetryMs: 50,
  syncIntervalMs: 200,
  quickSyncs: 25,
  slowSyncIntervalMs: 1_000,
  syncTimeoutMs: 10_000,
  replyTimeoutMs: 10_000,
  refusalGraceMs: 250,
};
