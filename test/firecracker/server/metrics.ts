import { writeSync, openSync } from "node:fs";
import type { Metrics as MetricsBody, VmConfiguration } from "./bodies.js";
import type { DriveCounters, Guest } from "./guest.js";
import { networkDevices, type DeviceTraffic } from "./host-resources.js";

/** How often metrics are written unasked, ms. */
const periodMs = 60_000;

type Counts = Record<string, number>;

/**
 * The file to which Firecracker writes one JSON line a minute and for each FlushMetrics. Counters are increments since the line before.
 * What is not measured here is 0, as a counter that nothing has moved.
 */
export class MetricsFile {
  readonly #file: number;
  readonly #settings: MetricsBody;
  readonly #id: string;
  readonly #last = new Map<string, Counts>();
  #timer: NodeJS.Timeout | undefined;

  /** @throws system errors when the file cannot be opened */
  constructor(settings: MetricsBody, id: string) {
    this.#file = openSync(settings.metrics_path, "a");
    this.#settings = settings;
    this.#id = id;
  }

  /** Begins to write once a minute. */
  start(flush: () => Promise<void>): void {
    this.#timer = setInterval(() => void flush(), periodMs);
    this.#timer.unref();
  }

  /** Writes a line. @param apiRequests since the process began, by kind */
  async flush(
    vm: VmConfiguration,
    guest: Guest | undefined,
    apiRequests: Counts,
  ): Promise<void> {
    const drives = (await guest?.driveCounters()) ?? [];
    const traffic = networkDevices();
    const line: Record<string, unknown> = {
      ...(this.#settings.emit_id === true && { id: this.#id }),
      ...(this.#settings.properties && {
        properties: this.#settings.properties,
      }),
      utc_timestamp_ms: Date.now(),
      api_server: {
        process_startup_time_us: 0,
        process_startup_time_cpu_us: 0,
      },
      balloon: zeros("activate_fails", "inflate_count", "deflate_count"),
    };
    const blocks = vm.drives.map((drive, index) =>
      this.#increment(`block_${drive.drive_id}`, blockCounts(drives[index])),
    );
    const nics = vm.nics.map((nic) =>
      this.#increment(
        `net_${nic.iface_id}`,
        netCounts(traffic.get(nic.host_dev_name)),
      ),
    );
    line["block"] = { ...sum(blocks, blockCounts(undefined)), ...latencies };
    vm.drives.forEach((drive, index) => {
      line[`block_${drive.drive_id}`] = { ...blocks[index], ...latencies };
    });
    line["net"] = sum(nics, netCounts(undefined));
    vm.nics.forEach((nic, index) => {
      line[`net_${nic.iface_id}`] = nics[index];
    });
    line["put_api_requests"] = this.#increment("api", apiRequests);
    line["logger"] = zeros(
      "missed_metrics_count",
      "metrics_fails",
      "missed_log_count",
      "log_fails",
    );
    line["seccomp"] = { num_faults: 0 };
    line["vcpu"] = {
      ...zeros("exit_io_in", "exit_io_out", "exit_mmio_read"),
      ...zeros("exit_mmio_write", "failures"),
    };
    line["vmm"] = { panic_count: 0 };
    line["uart"] = zeros("error_count", "flush_count", "read_count");
    line["signals"] = zeros("sigbus", "sigsegv", "sigxfsz", "sigpipe");
    line["vsock"] = zeros("rx_bytes_count", "tx_bytes_count", "conns_added");
    line["entropy"] = zeros("entropy_event_count", "entropy_bytes");
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  #increment(name: string, now: Counts): Counts {
    const last = this.#last.get(name) ?? {};
    this.#last.set(name, now);
    return Object.fromEntries(
      Object.entries(now).map(([key, value]) => [
        key,
        Math.max(0, value - (last[key] ?? 0)),
      ]),
    );
  }
}

const noLatency = { min_us: 0, max_us: 0, sum_us: 0 };
const latencies = { read_agg: noLatency, write_agg: noLatency };

function blockCounts(counters: DriveCounters | undefined): Counts {
  return {
    ...zeros("activate_fails", "cfg_fails", "no_avail_buffer", "event_fails"),
    ...zeros("execute_fails", "invalid_reqs_count", "queue_event_count"),
    ...zeros("rate_limiter_event_count", "update_count", "update_fails"),
    ...zeros("rate_limiter_throttled_events", "io_engine_throttled_events"),
    remaining_reqs_count: 0,
    flush_count: counters?.flushes ?? 0,
    read_bytes: counters?.readBytes ?? 0,
    write_bytes: counters?.writeBytes ?? 0,
    read_count: counters?.reads ?? 0,
    write_count: counters?.writes ?? 0,
  };
}

/** What the host's TAP sends, the guest receives. */
function netCounts(traffic: DeviceTraffic | undefined): Counts {
  return {
    ...zeros("activate_fails", "cfg_fails", "mac_address_updates"),
    ...zeros("event_fails", "rx_fails", "tx_fails", "tap_read_fails"),
    rx_bytes_count: traffic?.sentBytes ?? 0,
    rx_packets_count: traffic?.sentPackets ?? 0,
    rx_count: traffic?.sentPackets ?? 0,
    tx_bytes_count: traffic?.receivedBytes ?? 0,
    tx_packets_count: traffic?.receivedPackets ?? 0,
    tx_count: traffic?.receivedPackets ?? 0,
  };
}

function sum(all: readonly Counts[], start: Counts): Counts {
  const total = { ...start };
  for (const counts of all)
    for (const [key, value] of Object.entries(counts))
      total[key] = (total[key] ?? 0) + value;
  return total;
}

function zeros(...names: readonly string[]): Counts {
  return Object.fromEntries(names.map((name) => [name, 0]));
}
