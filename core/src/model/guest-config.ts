/** A file, a directory or a symbolic link that the guest finds when its init starts. Owner is root:root. */
export type GuestFile =
  | {
      readonly kind: "file";
      readonly content: string | Uint8Array;
      readonly mode: number;
    }
  | { readonly kind: "directory"; readonly mode: number }
  | { readonly kind: "symlink"; readonly target: string };

export interface GuestMount {
  /** id of a drive in the machine configuration */
  readonly drive: string;
  readonly fsType: "ext4";
  /** mount(8) options; empty means the defaults */
  readonly options: readonly string[];
}

/** A systemd unit. */
export interface GuestUnit {
  readonly content: string;
  /** unit that wants it, such as `multi-user.target`; absent: installed, not enabled */
  readonly wantedBy?: string;
}

/** A cpio archive (newc) that a plugin's `prepareHost` makes on the host; its files are laid over the guest after all others. */
export interface GuestArchive {
  /** absolute path on the host */
  readonly path: string;
}

export interface GuestNetwork {
  /** IPv4 address with prefix length, `10.0.2.15/24` */
  readonly address: string;
  readonly gateway: string;
  readonly nameservers: readonly string[];
}

/**
 * What the guest is told, carried to it behind the initramfs. Each record is a set of slots: a key has one owner, and a second
 * plugin that claims it fails the start with both names.
 */
export interface GuestConfig {
  readonly hostname: string;
  readonly network: GuestNetwork;
  /** by absolute guest path */
  readonly files: Readonly<Record<string, GuestFile>>;
  /** by absolute guest path of the mount point */
  readonly mounts: Readonly<Record<string, GuestMount>>;
  /** by unit name with suffix */
  readonly units: Readonly<Record<string, GuestUnit>>;
  /** by a name of the plugin's choice */
  readonly archives: Readonly<Record<string, GuestArchive>>;
}
