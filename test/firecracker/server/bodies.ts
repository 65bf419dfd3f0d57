// Request bodies that were checked against the API description.

export interface BootSource {
  readonly kernel_image_path: string;
  readonly initrd_path?: string;
  readonly boot_args?: string;
}

export interface MachineConfiguration {
  readonly vcpu_count: number;
  readonly mem_size_mib: number;
  readonly smt: boolean;
  readonly track_dirty_pages: boolean;
  readonly huge_pages: "None" | "Transparent" | "2M";
  readonly cpu_template?: string;
}

export interface Drive {
  readonly drive_id: string;
  readonly is_root_device: boolean;
  readonly path_on_host?: string;
  readonly is_read_only?: boolean;
  readonly cache_type?: "Unsafe" | "Writeback";
  readonly partuuid?: string;
  readonly socket?: string;
  readonly rate_limiter?: unknown;
  readonly io_engine?: string;
}

export interface NetworkInterface {
  readonly iface_id: string;
  readonly host_dev_name: string;
  readonly guest_mac?: string;
  readonly mtu?: number;
  readonly rx_rate_limiter?: unknown;
  readonly tx_rate_limiter?: unknown;
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

export interface Balloon {
  readonly amount_mib: number;
  readonly deflate_on_oom: boolean;
  readonly stats_polling_interval_s?: number;
  readonly free_page_hinting?: boolean;
  readonly free_page_reporting?: boolean;
}

export interface Logger {
  readonly level?: string;
  readonly log_path?: string;
  readonly show_level?: boolean;
  readonly show_log_origin?: boolean;
  readonly module?: string;
}

export interface Metrics {
  readonly metrics_path: string;
  readonly emit_id?: boolean;
  readonly properties?: Readonly<Record<string, string>>;
}

export interface SnapshotLoad {
  readonly snapshot_path: string;
  readonly mem_file_path?: string;
  readonly mem_backend?: {
    readonly backend_type: "File" | "Uffd";
    readonly backend_path: string;
  };
  readonly resume_vm?: boolean;
  readonly network_overrides?: readonly {
    readonly iface_id: string;
    readonly host_dev_name: string;
  }[];
  readonly vsock_override?: { readonly uds_path: string };
}

/** All that makes up a microVM; kept in a snapshot's state file. */
export interface VmConfiguration {
  readonly machine: MachineConfiguration;
  readonly bootSource?: BootSource;
  /** in the order in which the guest finds them */
  readonly drives: readonly Drive[];
  readonly nics: readonly NetworkInterface[];
  readonly vsock?: Vsock;
  readonly balloon?: Balloon;
  readonly entropy?: unknown;
  readonly serial?: { readonly serial_out_path?: string };
}
