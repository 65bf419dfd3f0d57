/** How bytes get to a guest agent. */
export type AgentTransport = "virtio-serial" | "vsock";

/** A published image: a directory that nobody changes any more. */
export interface Image {
  /** names the directory `images/<id>`: `<name>-<first 12 digits of the build's random id>` */
  readonly id: string;
  readonly name: string;
  /** ISO 8601, UTC */
  readonly createdAt: string;
  readonly distribution: string;
  readonly architecture: string;
  readonly kernelVersion: string;
  /** space that the directory takes, bytes */
  readonly sizeBytes: number;
  /** size of the root file system as the guest sees it, bytes */
  readonly rootSizeBytes: number;
  /** channels on which its guest agent can be reached */
  readonly agentTransports: readonly AgentTransport[];
  /** absolute paths of its files */
  readonly files: {
    /** ext4, raw */
    readonly rootfs: string;
    readonly kernel: string;
    readonly initrd: string;
    /** tar of what belongs into /root, when the image has some */
    readonly workSeed?: string;
  };
}
