/** Settings that operations read; the install's configuration fills them. */
export interface OperationSettings {
  readonly defaultImage: string;
  readonly defaults: {
    readonly vcpus: number;
    readonly memoryMiB: number;
    readonly diskSizeBytes: number;
  };
  /** plugins enabled by the configuration */
  readonly enabledPlugins: readonly string[];
  readonly accel: "auto" | "kvm" | "emulate";
  /** id of the VMM driver of VMs that name none, or `auto` */
  readonly driver: string;
  /** longest wait for the guest's first answer, ms */
  readonly readyTimeoutMs: number;
  /** longest wait for a guest to power off, ms */
  readonly stopTimeoutMs: number;
  /** longest time that one VM may take when a daemon begins, ms */
  readonly reconcileTimeoutMs: number;
}
