// Made by scripts/generate-firecracker-api.mjs from host/firecracker/api-1.17-dev.yaml: not to be edited.

/** Modifier for an ARM register (aarch64) */
interface ArmRegisterModifier {
  /** 64-bit register address as hex, binary, or decimal string (e.g., "0x0", "0b0", "0") */
  readonly addr: string;
  /** 128-bit bitmap string defining which bits to modify */
  readonly bitmap: string;
}

/** Balloon device descriptor */
export interface Balloon {
  /** Target balloon size in MiB */
  readonly amount_mib: number;
  /** Whether the balloon should deflate when the guest has memory pressure */
  readonly deflate_on_oom: boolean;
  /** Interval in seconds between refreshing statistics */
  readonly stats_polling_interval_s?: number;
  /** Whether the free page hinting feature is enabled */
  readonly free_page_hinting?: boolean;
  /** Whether the free page reporting feature is enabled */
  readonly free_page_reporting?: boolean;
}

/** Describes the balloon device statistics */
export interface BalloonStats {
  /** Target number of pages the device aims to hold */
  readonly target_pages: number;
  /** Actual number of pages the device is holding */
  readonly actual_pages: number;
  /** Target amount of memory (in MiB) the device aims to hold */
  readonly target_mib: number;
  /** Actual amount of memory (in MiB) the device is holding */
  readonly actual_mib: number;
  /** The amount of memory that has been swapped in (in bytes) */
  readonly swap_in?: number;
  /** The amount of memory that has been swapped out to disk (in bytes) */
  readonly swap_out?: number;
  /** The number of major page faults that have occurred */
  readonly major_faults?: number;
  /** The number of minor page faults that have occurred */
  readonly minor_faults?: number;
  /** The amount of memory not being used for any purpose (in bytes) */
  readonly free_memory?: number;
  /** The total amount of memory available (in bytes) */
  readonly total_memory?: number;
  /** An estimate of how much memory is available (in bytes) for starting new applications, without pushing the system to swap */
  readonly available_memory?: number;
  /** The amount of memory, in bytes, that can be quickly reclaimed without additional I/O */
  readonly disk_caches?: number;
  /** The number of successful hugetlb page allocations in the guest */
  readonly hugetlb_allocations?: number;
  /** The number of failed hugetlb page allocations in the guest */
  readonly hugetlb_failures?: number;
  /** OOM killer invocations, indicating critical memory pressure */
  readonly oom_kill?: number;
  /** Counter of Allocation enter a slow path to gain more memory page */
  readonly alloc_stall?: number;
  /** Amount of memory scanned asynchronously */
  readonly async_scan?: number;
  /** Amount of memory scanned directly */
  readonly direct_scan?: number;
  /** Amount of memory reclaimed asynchronously */
  readonly async_reclaim?: number;
  /** Amount of memory reclaimed directly */
  readonly direct_reclaim?: number;
}

/** Balloon device descriptor */
export interface BalloonUpdate {
  /** Target balloon size in MiB */
  readonly amount_mib: number;
}

/** Boot source descriptor */
export interface BootSource {
  /** Kernel boot arguments */
  readonly boot_args?: string;
  /** Host level path to the initrd image used to boot the guest */
  readonly initrd_path?: string;
  /** Host level path to the kernel image used to boot the guest */
  readonly kernel_image_path: string;
}

/** The CPU configuration template defines a set of bit maps as modifiers of flags accessed by register to be disabled/enabled for the microvm */
interface CpuConfig {
  /** A collection of KVM capabilities to be added or removed (both x86_64 and aarch64) */
  readonly kvm_capabilities?: readonly string[];
  /** A collection of CPUID leaf modifiers (x86_64 only) */
  readonly cpuid_modifiers?: readonly CpuidLeafModifier[];
  /** A collection of model specific register modifiers (x86_64 only) */
  readonly msr_modifiers?: readonly MsrModifier[];
  /** A collection of register modifiers (aarch64 only) */
  readonly reg_modifiers?: readonly ArmRegisterModifier[];
  /** A collection of vCPU features to be modified (aarch64 only) */
  readonly vcpu_features?: readonly VcpuFeatures[];
}

/** The CPU Template defines a set of flags to be disabled from the microvm so that the features exposed to the guest are the same as in the selected instance type */
type CpuTemplate = "C3" | "T2" | "T2S" | "T2CL" | "T2A" | "V1N1" | "None";

/** Modifier for a CPUID leaf and subleaf (x86_64) */
interface CpuidLeafModifier {
  /** CPUID leaf index as hex, binary, or decimal string (e.g., "0x0", "0b0", "0")) */
  readonly leaf: string;
  /** CPUID subleaf index as hex, binary, or decimal string (e.g., "0x0", "0b0", "0") */
  readonly subleaf: string;
  /** KVM feature flags for this leaf-subleaf */
  readonly flags: number;
  /** Register modifiers for this CPUID leaf */
  readonly modifiers: readonly CpuidRegisterModifier[];
}

/** Modifier for a specific CPUID register within a leaf (x86_64) */
interface CpuidRegisterModifier {
  /** Target CPUID register name */
  readonly register: "eax" | "ebx" | "ecx" | "edx";
  /** 32-bit bitmap string defining which bits to modify */
  readonly bitmap: string;
}

export interface Drive {
  readonly drive_id: string;
  /** Represents the unique id of the boot partition of this device */
  readonly partuuid?: string;
  readonly is_root_device: boolean;
  /** Represents the caching strategy for the block device */
  readonly cache_type?: "Unsafe" | "Writeback";
  /** Is block read only */
  readonly is_read_only?: boolean;
  /** Host level path for the guest drive */
  readonly path_on_host?: string;
  readonly rate_limiter?: RateLimiter;
  /** Type of the IO engine used by the device */
  readonly io_engine?: "Sync" | "Async";
  /** Path to the socket of vhost-user-block backend */
  readonly socket?: string;
}

/** Defines an entropy device */
export interface EntropyDevice {
  readonly rate_limiter?: RateLimiter;
}

/** Describes the Firecracker version */
interface FirecrackerVersion {
  /** Firecracker build version */
  readonly firecracker_version: string;
}

export interface FullVmConfiguration {
  readonly balloon?: Balloon;
  /** Configurations for all block devices */
  readonly drives?: readonly Drive[];
  readonly "boot-source"?: BootSource;
  readonly "cpu-config"?: CpuConfig;
  readonly logger?: Logger;
  readonly "machine-config"?: MachineConfiguration;
  readonly metrics?: Metrics;
  readonly "memory-hotplug"?: MemoryHotplugConfig;
  readonly "mmds-config"?: MmdsConfig;
  /** Configurations for all net devices */
  readonly "network-interfaces"?: readonly NetworkInterface[];
  /** Configurations for all pmem devices */
  readonly pmem?: readonly Pmem[];
  readonly vsock?: Vsock;
  readonly entropy?: EntropyDevice;
}

/** Variant wrapper containing the real action */
interface InstanceActionInfo {
  /** Enumeration indicating what type of action is contained in the payload */
  readonly action_type: "FlushMetrics" | "InstanceStart" | "SendCtrlAltDel";
}

/** Describes MicroVM instance information */
export interface InstanceInfo {
  /** Application name */
  readonly app_name: string;
  /** MicroVM / instance ID */
  readonly id: string;
  /** The current detailed state (Not started, Running, Paused) of the Firecracker instance */
  readonly state: "Not started" | "Running" | "Paused";
  /** MicroVM hypervisor build version */
  readonly vmm_version: string;
}

/** Describes the configuration option for the logging capability */
export interface Logger {
  /** Set the level */
  readonly level?: "Error" | "Warning" | "Info" | "Debug" | "Trace" | "Off";
  /** Path to the named pipe or file for the human readable log output */
  readonly log_path?: string;
  /** Whether or not to output the level in the logs */
  readonly show_level?: boolean;
  /** Whether or not to include the file path and line number of the log's origin */
  readonly show_log_origin?: boolean;
  /** The module path to filter log messages by */
  readonly module?: string;
}

/** Describes the number of vCPUs, memory size, SMT capabilities, huge page configuration and the CPU template */
export interface MachineConfiguration {
  readonly cpu_template?: CpuTemplate;
  /** Flag for enabling/disabling simultaneous multithreading */
  readonly smt?: boolean;
  /** Memory size of VM */
  readonly mem_size_mib: number;
  /** Enable dirty page tracking */
  readonly track_dirty_pages?: boolean;
  /** Number of vCPUs (either 1 or an even number) */
  readonly vcpu_count: number;
  /** Which huge pages configuration should be used to back guest memory */
  readonly huge_pages?: "None" | "Transparent" | "2M";
}

interface MemoryBackend {
  readonly backend_type: "File" | "Uffd";
  /** Based on 'backend_type' it is either 1) Path to the file that contains the guest memory to be loaded 2) Path to the UDS where a process is listening for a UFFD … */
  readonly backend_path: string;
}

/** The configuration of the hotpluggable memory device (virtio-mem) */
interface MemoryHotplugConfig {
  /** Total size of the hotpluggable memory in MiB */
  readonly total_size_mib?: number;
  /** Slot size for the hotpluggable memory in MiB */
  readonly slot_size_mib?: number;
  /** (Logical) Block size for the hotpluggable memory in MiB */
  readonly block_size_mib?: number;
}

/** Describes the configuration option for the metrics capability */
export interface Metrics {
  /** Path to the named pipe or file where the JSON-formatted metrics are flushed */
  readonly metrics_path: string;
  /** Whether to emit the microVM instance id (the value passed to the jailer "--id") as a top-level "id" field on each metrics line */
  readonly emit_id?: boolean;
  /** Operator-defined key-value pairs emitted under a top-level "properties" field on each metrics line */
  readonly properties?: Readonly<Record<string, string>>;
}

/** Defines the MMDS configuration */
interface MmdsConfig {
  /** Enumeration indicating the MMDS version to be configured */
  readonly version?: "V1" | "V2";
  /** List of the network interface IDs capable of forwarding packets to the MMDS */
  readonly network_interfaces: readonly string[];
  /** A valid IPv4 link-local address */
  readonly ipv4_address?: string;
  /** MMDS operates compatibly with EC2 IMDS (i.e. responds "text/plain" content regardless of Accept header in requests) */
  readonly imds_compat?: boolean;
}

/** Modifier for a model specific register (x86_64) */
interface MsrModifier {
  /** 32-bit MSR address as hex, binary, or decimal string (e.g., "0x10a", "0b100001010", "266") */
  readonly addr: string;
  /** 64-bit bitmap string defining which bits to modify */
  readonly bitmap: string;
}

/** Defines a network interface */
export interface NetworkInterface {
  readonly guest_mac?: string;
  /** Host level path for the guest network interface */
  readonly host_dev_name: string;
  readonly iface_id: string;
  /** MTU to advertise to the guest via VIRTIO_NET_F_MTU */
  readonly mtu?: number;
  readonly rx_rate_limiter?: RateLimiter;
  readonly tx_rate_limiter?: RateLimiter;
}

/** Allows for changing the backing TAP device of a network interface during snapshot restore */
interface NetworkOverride {
  /** The name of the interface to modify */
  readonly iface_id: string;
  /** The new host device of the interface */
  readonly host_dev_name: string;
}

export interface PartialDrive {
  readonly drive_id: string;
  /** Host level path for the guest drive */
  readonly path_on_host?: string;
  readonly rate_limiter?: RateLimiter;
}

/** Defines a partial network interface structure, used to update the rate limiters for that interface, after microvm start */
export interface PartialNetworkInterface {
  readonly iface_id: string;
  readonly rx_rate_limiter?: RateLimiter;
  readonly tx_rate_limiter?: RateLimiter;
}

interface Pmem {
  /** Identificator for this device */
  readonly id: string;
  /** Host level path for the virtio-pmem device to use as a backing file */
  readonly path_on_host: string;
  /** Flag to make this device be the root device for VM boot */
  readonly root_device?: boolean;
  /** Flag to map backing file in read-only mode */
  readonly read_only?: boolean;
  readonly rate_limiter?: RateLimiter;
}

/** Defines an IO rate limiter with independent bytes/s and ops/s limits */
interface RateLimiter {
  /** Token bucket with bytes as tokens */
  readonly bandwidth?: TokenBucket;
  /** Token bucket with operations as tokens */
  readonly ops?: TokenBucket;
}

/** The configuration of the serial device */
export interface SerialDevice {
  /** Path to a file or named pipe on the host to which serial output should be written */
  readonly serial_out_path?: string;
  /** Optional token bucket for rate limiting serial console output bandwidth */
  readonly rate_limiter?: TokenBucket;
}

export interface SnapshotCreateParams {
  /** Path to the file that will contain the guest memory */
  readonly mem_file_path: string;
  /** Path to the file that will contain the microVM state */
  readonly snapshot_path: string;
  /** Type of snapshot to create */
  readonly snapshot_type?: "Full" | "Diff";
}

/** Defines the configuration used for handling snapshot resume */
export interface SnapshotLoadParams {
  /** (Deprecated) Enable dirty page tracking to improve space efficiency of diff snapshots */
  readonly enable_diff_snapshots?: boolean;
  /** Enable dirty page tracking to improve space efficiency of diff snapshots */
  readonly track_dirty_pages?: boolean;
  /** Path to the file that contains the guest memory to be loaded */
  readonly mem_file_path?: string;
  /** Configuration for the backend that handles memory load */
  readonly mem_backend?: MemoryBackend;
  /** Path to the file that contains the microVM state to be loaded */
  readonly snapshot_path: string;
  /** When set to true, the vm is also resumed if the snapshot load is successful */
  readonly resume_vm?: boolean;
  /** Network host device names to override */
  readonly network_overrides?: readonly NetworkOverride[];
  /** Overrides the vsock device's UDS path on snapshot restore */
  readonly vsock_override?: VsockOverride;
  /** [x86_64 only] When set to true, passes KVM_CLOCK_REALTIME to KVM_SET_CLOCK on restore, advancing kvmclock by the wall-clock time elapsed since the snapshot was … */
  readonly clock_realtime?: boolean;
  /** Selects the huge pages configuration for the restored microVM */
  readonly huge_pages?: "Snapshot" | "None" | "Transparent" | "2M";
}

/** Defines a token bucket with a maximum capacity (size), an initial burst size (one_time_burst) and an interval for refilling purposes (refill_time) */
interface TokenBucket {
  /** The initial size of a token bucket */
  readonly one_time_burst?: number;
  /** The amount of milliseconds it takes for the bucket to refill */
  readonly refill_time: number;
  /** The total number of tokens this bucket can hold */
  readonly size: number;
}

/** vCPU feature modifier (aarch64) */
interface VcpuFeatures {
  /** Index in the kvm_vcpu_init.features array */
  readonly index: number;
  /** 32-bit bitmap string defining which bits to modify */
  readonly bitmap: string;
}

/** Defines the microVM running state */
interface Vm {
  readonly state: "Paused" | "Resumed";
}

/** Defines a vsock device, backed by a set of Unix Domain Sockets, on the host side */
export interface Vsock {
  /** Guest Vsock CID */
  readonly guest_cid: number;
  /** Path to UNIX domain socket, used to proxy vsock connections */
  readonly uds_path: string;
  /** This parameter has been deprecated and it will be removed in future Firecracker release */
  readonly vsock_id?: string;
}

/** Allows for changing the backing Unix Domain Socket of a vsock device during snapshot restore */
interface VsockOverride {
  /** The new path for the backing Unix Domain Socket */
  readonly uds_path: string;
}

/** Each request that we send: its body, and the body of the answer when it succeeds. */
export interface ApiOperations {
  /** Returns general information about an instance */
  readonly "GET /": { readonly body: undefined; readonly reply: InstanceInfo };
  /** Creates a synchronous action */
  readonly "PUT /actions": {
    readonly body: InstanceActionInfo;
    readonly reply: undefined;
  };
  /** Returns the current balloon device configuration */
  readonly "GET /balloon": {
    readonly body: undefined;
    readonly reply: Balloon;
  };
  /** Creates or updates a balloon device */
  readonly "PUT /balloon": {
    readonly body: Balloon;
    readonly reply: undefined;
  };
  /** Updates a balloon device */
  readonly "PATCH /balloon": {
    readonly body: BalloonUpdate;
    readonly reply: undefined;
  };
  /** Returns the latest balloon device statistics, only if enabled pre-boot */
  readonly "GET /balloon/statistics": {
    readonly body: undefined;
    readonly reply: BalloonStats;
  };
  /** Creates or updates the boot source. Pre-boot only */
  readonly "PUT /boot-source": {
    readonly body: BootSource;
    readonly reply: undefined;
  };
  /** Creates or updates a drive. Pre-boot only */
  readonly "PUT /drives/{drive_id}": {
    readonly body: Drive;
    readonly reply: undefined;
  };
  /** Updates the properties of a drive. Post-boot only */
  readonly "PATCH /drives/{drive_id}": {
    readonly body: PartialDrive;
    readonly reply: undefined;
  };
  /** Creates an entropy device. Pre-boot only */
  readonly "PUT /entropy": {
    readonly body: EntropyDevice;
    readonly reply: undefined;
  };
  /** Initializes the logger by specifying a named pipe or a file for the logs output */
  readonly "PUT /logger": { readonly body: Logger; readonly reply: undefined };
  /** Updates the Machine Configuration of the VM. Pre-boot only */
  readonly "PUT /machine-config": {
    readonly body: MachineConfiguration;
    readonly reply: undefined;
  };
  /** Initializes the metrics system by specifying a named pipe or a file for the metrics output */
  readonly "PUT /metrics": {
    readonly body: Metrics;
    readonly reply: undefined;
  };
  /** Creates a network interface. Pre-boot only */
  readonly "PUT /network-interfaces/{iface_id}": {
    readonly body: NetworkInterface;
    readonly reply: undefined;
  };
  /** Updates the rate limiters applied to a network interface. Post-boot only */
  readonly "PATCH /network-interfaces/{iface_id}": {
    readonly body: PartialNetworkInterface;
    readonly reply: undefined;
  };
  /** Configures the serial console */
  readonly "PUT /serial": {
    readonly body: SerialDevice;
    readonly reply: undefined;
  };
  /** Creates a full or diff snapshot. Post-boot only */
  readonly "PUT /snapshot/create": {
    readonly body: SnapshotCreateParams;
    readonly reply: undefined;
  };
  /** Loads a snapshot. Pre-boot only */
  readonly "PUT /snapshot/load": {
    readonly body: SnapshotLoadParams;
    readonly reply: undefined;
  };
  /** Gets the Firecracker version */
  readonly "GET /version": {
    readonly body: undefined;
    readonly reply: FirecrackerVersion;
  };
  /** Updates the microVM state */
  readonly "PATCH /vm": { readonly body: Vm; readonly reply: undefined };
  /** Gets the full VM configuration */
  readonly "GET /vm/config": {
    readonly body: undefined;
    readonly reply: FullVmConfiguration;
  };
  /** Creates/updates a vsock device. Pre-boot only */
  readonly "PUT /vsock": { readonly body: Vsock; readonly reply: undefined };
}
