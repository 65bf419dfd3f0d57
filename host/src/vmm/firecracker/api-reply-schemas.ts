// Made by scripts/generate-firecracker-api.mjs from host/firecracker/api-1.17-dev.yaml: not to be edited.

import type { ApiSchema } from "./api-schema.js";
import type { ApiOperations } from "./api-types.js";

const instanceInfoSchema: ApiSchema = {
  type: "object",
  required: ["app_name", "id", "state", "vmm_version"],
  properties: {
    app_name: { type: "string" },
    id: { type: "string" },
    state: { type: "string", values: ["Not started", "Running", "Paused"] },
    vmm_version: { type: "string" },
  },
};

const balloonSchema: ApiSchema = {
  type: "object",
  required: ["amount_mib", "deflate_on_oom"],
  properties: {
    amount_mib: { type: "integer" },
    deflate_on_oom: { type: "boolean" },
    stats_polling_interval_s: { type: "integer" },
    free_page_hinting: { type: "boolean" },
    free_page_reporting: { type: "boolean" },
  },
};

const balloonStatsSchema: ApiSchema = {
  type: "object",
  required: ["target_pages", "actual_pages", "target_mib", "actual_mib"],
  properties: {
    target_pages: { type: "integer" },
    actual_pages: { type: "integer" },
    target_mib: { type: "integer" },
    actual_mib: { type: "integer" },
    swap_in: { type: "integer" },
    swap_out: { type: "integer" },
    major_faults: { type: "integer" },
    minor_faults: { type: "integer" },
    free_memory: { type: "integer" },
    total_memory: { type: "integer" },
    available_memory: { type: "integer" },
    disk_caches: { type: "integer" },
    hugetlb_allocations: { type: "integer" },
    hugetlb_failures: { type: "integer" },
    oom_kill: { type: "integer" },
    alloc_stall: { type: "integer" },
    async_scan: { type: "integer" },
    direct_scan: { type: "integer" },
    async_reclaim: { type: "integer" },
    direct_reclaim: { type: "integer" },
  },
};

const firecrackerVersionSchema: ApiSchema = {
  type: "object",
  required: ["firecracker_version"],
  properties: { firecracker_version: { type: "string" } },
};

const tokenBucketSchema: ApiSchema = {
  type: "object",
  required: ["refill_time", "size"],
  properties: {
    one_time_burst: { type: "integer", minimum: 0 },
    refill_time: { type: "integer", minimum: 0 },
    size: { type: "integer", minimum: 0 },
  },
};

const rateLimiterSchema: ApiSchema = {
  type: "object",
  required: [],
  properties: { bandwidth: tokenBucketSchema, ops: tokenBucketSchema },
};

const driveSchema: ApiSchema = {
  type: "object",
  required: ["drive_id", "is_root_device"],
  properties: {
    drive_id: { type: "string" },
    partuuid: { type: "string" },
    is_root_device: { type: "boolean" },
    cache_type: { type: "string", values: ["Unsafe", "Writeback"] },
    is_read_only: { type: "boolean" },
    path_on_host: { type: "string" },
    rate_limiter: rateLimiterSchema,
    io_engine: { type: "string", values: ["Sync", "Async"] },
    socket: { type: "string" },
  },
};

const bootSourceSchema: ApiSchema = {
  type: "object",
  required: ["kernel_image_path"],
  properties: {
    boot_args: { type: "string" },
    initrd_path: { type: "string" },
    kernel_image_path: { type: "string" },
  },
};

const cpuidRegisterModifierSchema: ApiSchema = {
  type: "object",
  required: ["register", "bitmap"],
  properties: {
    register: { type: "string", values: ["eax", "ebx", "ecx", "edx"] },
    bitmap: { type: "string" },
  },
};

const cpuidLeafModifierSchema: ApiSchema = {
  type: "object",
  required: ["leaf", "subleaf", "flags", "modifiers"],
  properties: {
    leaf: { type: "string" },
    subleaf: { type: "string" },
    flags: { type: "integer" },
    modifiers: { type: "array", items: cpuidRegisterModifierSchema },
  },
};

const msrModifierSchema: ApiSchema = {
  type: "object",
  required: ["addr", "bitmap"],
  properties: { addr: { type: "string" }, bitmap: { type: "string" } },
};

const armRegisterModifierSchema: ApiSchema = {
  type: "object",
  required: ["addr", "bitmap"],
  properties: { addr: { type: "string" }, bitmap: { type: "string" } },
};

const vcpuFeaturesSchema: ApiSchema = {
  type: "object",
  required: ["index", "bitmap"],
  properties: { index: { type: "integer" }, bitmap: { type: "string" } },
};

const cpuConfigSchema: ApiSchema = {
  type: "object",
  required: [],
  properties: {
    kvm_capabilities: { type: "array", items: { type: "string" } },
    cpuid_modifiers: { type: "array", items: cpuidLeafModifierSchema },
    msr_modifiers: { type: "array", items: msrModifierSchema },
    reg_modifiers: { type: "array", items: armRegisterModifierSchema },
    vcpu_features: { type: "array", items: vcpuFeaturesSchema },
  },
};

const loggerSchema: ApiSchema = {
  type: "object",
  required: [],
  properties: {
    level: {
      type: "string",
      values: ["Error", "Warning", "Info", "Debug", "Trace", "Off"],
    },
    log_path: { type: "string" },
    show_level: { type: "boolean" },
    show_log_origin: { type: "boolean" },
    module: { type: "string" },
  },
};

const cpuTemplateSchema: ApiSchema = {
  type: "string",
  values: ["C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None"],
};

const machineConfigurationSchema: ApiSchema = {
  type: "object",
  required: ["mem_size_mib", "vcpu_count"],
  properties: {
    cpu_template: cpuTemplateSchema,
    smt: { type: "boolean" },
    mem_size_mib: { type: "integer" },
    track_dirty_pages: { type: "boolean" },
    vcpu_count: { type: "integer", minimum: 1, maximum: 32 },
    huge_pages: { type: "string", values: ["None", "Transparent", "2M"] },
  },
};

const metricsSchema: ApiSchema = {
  type: "object",
  required: ["metrics_path"],
  properties: {
    metrics_path: { type: "string" },
    emit_id: { type: "boolean" },
    properties: { type: "map", values: { type: "string" } },
  },
};

const memoryHotplugConfigSchema: ApiSchema = {
  type: "object",
  required: [],
  properties: {
    total_size_mib: { type: "integer", maximum: 4294967295 },
    slot_size_mib: { type: "integer", minimum: 128, maximum: 4294967295 },
    block_size_mib: { type: "integer", minimum: 2, maximum: 4294967295 },
  },
};

const mmdsConfigSchema: ApiSchema = {
  type: "object",
  required: ["network_interfaces"],
  properties: {
    version: { type: "string", values: ["V1", "V2"] },
    network_interfaces: { type: "array", items: { type: "string" } },
    ipv4_address: { type: "string" },
    imds_compat: { type: "boolean" },
  },
};

const networkInterfaceSchema: ApiSchema = {
  type: "object",
  required: ["host_dev_name", "iface_id"],
  properties: {
    guest_mac: { type: "string" },
    host_dev_name: { type: "string" },
    iface_id: { type: "string" },
    mtu: { type: "integer", minimum: 68, maximum: 65535 },
    rx_rate_limiter: rateLimiterSchema,
    tx_rate_limiter: rateLimiterSchema,
  },
};

const pmemSchema: ApiSchema = {
  type: "object",
  required: ["id", "path_on_host"],
  properties: {
    id: { type: "string" },
    path_on_host: { type: "string" },
    root_device: { type: "boolean" },
    read_only: { type: "boolean" },
    rate_limiter: rateLimiterSchema,
  },
};

const vsockSchema: ApiSchema = {
  type: "object",
  required: ["guest_cid", "uds_path"],
  properties: {
    guest_cid: { type: "integer", minimum: 3 },
    uds_path: { type: "string" },
    vsock_id: { type: "string" },
  },
};

const entropyDeviceSchema: ApiSchema = {
  type: "object",
  required: [],
  properties: { rate_limiter: rateLimiterSchema },
};

const fullVmConfigurationSchema: ApiSchema = {
  type: "object",
  required: [],
  properties: {
    balloon: balloonSchema,
    drives: { type: "array", items: driveSchema },
    "boot-source": bootSourceSchema,
    "cpu-config": cpuConfigSchema,
    logger: loggerSchema,
    "machine-config": machineConfigurationSchema,
    metrics: metricsSchema,
    "memory-hotplug": memoryHotplugConfigSchema,
    "mmds-config": mmdsConfigSchema,
    "network-interfaces": { type: "array", items: networkInterfaceSchema },
    pmem: { type: "array", items: pmemSchema },
    vsock: vsockSchema,
    entropy: entropyDeviceSchema,
  },
};

/** What each answer with a body looks like; the other operations answer without one. */
export const replySchemas: Readonly<
  Partial<Record<keyof ApiOperations, ApiSchema>>
> = {
  "GET /": instanceInfoSchema,
  "GET /balloon": balloonSchema,
  "GET /balloon/statistics": balloonStatsSchema,
  "GET /version": firecrackerVersionSchema,
  "GET /vm/config": fullVmConfigurationSchema,
};
