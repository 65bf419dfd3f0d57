/** What the host is. Read once. */
export interface HostFacts {
  readonly cpus: number;
  readonly memoryMiB: number;
  /** `x86_64` or `aarch64` */
  readonly architecture: string;
  readonly isRoot: boolean;
  readonly homeDirectory: string;
}
