/** What a guest says of itself; hostile input that was bounded and validated. */
export interface GuestFacts {
  readonly memoryTotalBytes: number;
  /** what programs could still have without swapping, bytes; proc(5), MemAvailable */
  readonly memoryAvailableBytes: number;
  /** runnable tasks, averaged over 1, 5 and 15 minutes */
  readonly loadAverage: readonly [number, number, number];
}

/** What went through a VM's disks and network interfaces since its VMM began, bytes; directions are the guest's. */
export interface VmIo {
  readonly diskReadBytes: number;
  readonly diskWrittenBytes: number;
  /** absent where the VMM counts disks only */
  readonly networkReceivedBytes?: number;
  readonly networkSentBytes?: number;
}

/** What a VM uses, as last looked at. */
export interface VmStats {
  /** ISO 8601, UTC */
  readonly collectedAt: string;
  /** CPU time of the VMM since the look before, percent of one host CPU; absent in the first look after a start */
  readonly cpuPercent?: number;
  /** resident memory of the VMM process */
  readonly residentBytes: number;
  /** space that the VM's directory really takes on the host's disk */
  readonly diskBytes: number;
  /** absent where the VMM counts nothing, or did not answer in time */
  readonly io?: VmIo;
  /** absent while the guest's agent does not answer */
  readonly guest?: GuestFacts;
}
