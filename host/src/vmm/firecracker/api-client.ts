import { parseReply } from "./api-reply.js";
import { exchange } from "./api-transport.js";
import type {
  ApiOperations,
  Balloon,
  BalloonStats,
  BalloonUpdate,
  BootSource,
  Drive,
  EntropyDevice,
  FullVmConfiguration,
  InstanceInfo,
  Logger,
  MachineConfiguration,
  Metrics,
  NetworkInterface,
  PartialDrive,
  PartialNetworkInterface,
  SerialDevice,
  SnapshotCreateParams,
  SnapshotLoadParams,
  Vsock,
} from "./api-types.js";

/** How long an answer is waited for. */
export interface FirecrackerApiLimits {
  /** of every other request, ms */
  readonly replyMs: number;
  /** of making or loading a snapshot, which reads or writes the guest's memory, ms */
  readonly snapshotMs: number;
}

const defaultLimits: FirecrackerApiLimits = {
  replyMs: 10_000,
  snapshotMs: 300_000,
};

/**
 * The HTTP API of one Firecracker process. Bodies are Firecracker's own, field for field; paths in them are those that the process sees,
 * so of its jail if it has one. Requests are sent once and never again. Every method
 * @throws FirecrackerApiError with Firecracker's words when it refuses, FirecrackerUnreachableError when nobody listens,
 *   FirecrackerProtocolError when what comes back is no answer, FirecrackerTimeoutError, CancelledError after `signal`
 * @see host/firecracker/README.md
 */
export class FirecrackerApi {
  readonly #socketPath: string;
  readonly #limits: FirecrackerApiLimits;

  constructor(socketPath: string, limits: Partial<FirecrackerApiLimits> = {}) {
    this.#socketPath = socketPath;
    this.#limits = { ...defaultLimits, ...limits };
  }

  /** Id, state and version of the instance. */
  describe(signal: AbortSignal): Promise<InstanceInfo> {
    return this.#send("GET /", undefined, signal);
  }

  /** The version, such as `1.7.0`. */
  async version(signal: AbortSignal): Promise<string> {
    const reply = await this.#send("GET /version", undefined, signal);
    return reply.firecracker_version;
  }

  /** Everything that is configured. */
  vmConfiguration(signal: AbortSignal): Promise<FullVmConfiguration> {
    return this.#send("GET /vm/config", undefined, signal);
  }

  /** Before the start. */
  putMachineConfiguration(
    machine: MachineConfiguration,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send("PUT /machine-config", machine, signal);
  }

  /** Before the start. */
  putBootSource(source: BootSource, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /boot-source", source, signal);
  }

  /** Before the start: adds a drive or replaces the one of the same id. */
  putDrive(drive: Drive, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /drives/{drive_id}", drive, signal, drive.drive_id);
  }

  /** After the start: another file, or another rate limit. */
  patchDrive(drive: PartialDrive, signal: AbortSignal): Promise<void> {
    return this.#send(
      "PATCH /drives/{drive_id}",
      drive,
      signal,
      drive.drive_id,
    );
  }

  /** Before the start. The TAP device must exist. */
  putNetworkInterface(
    nic: NetworkInterface,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send(
      "PUT /network-interfaces/{iface_id}",
      nic,
      signal,
      nic.iface_id,
    );
  }

  /** After the start: another rate limit. */
  patchNetworkInterface(
    nic: PartialNetworkInterface,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send(
      "PATCH /network-interfaces/{iface_id}",
      nic,
      signal,
      nic.iface_id,
    );
  }

  /** Before the start. Firecracker makes the socket, which must not exist. */
  putVsock(vsock: Vsock, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /vsock", vsock, signal);
  }

  /** Before the start. */
  putEntropy(entropy: EntropyDevice, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /entropy", entropy, signal);
  }

  /** Before the start; from the version on whose features have `serialFile`. */
  putSerial(serial: SerialDevice, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /serial", serial, signal);
  }

  /** Once, before the start. The file must exist. */
  putMetrics(metrics: Metrics, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /metrics", metrics, signal);
  }

  /** Before the start. The file must exist. */
  putLogger(logger: Logger, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /logger", logger, signal);
  }

  /** Before the start. */
  putBalloon(balloon: Balloon, signal: AbortSignal): Promise<void> {
    return this.#send("PUT /balloon", balloon, signal);
  }

  /** Another size of the balloon. */
  patchBalloon(balloon: BalloonUpdate, signal: AbortSignal): Promise<void> {
    return this.#send("PATCH /balloon", balloon, signal);
  }

  balloon(signal: AbortSignal): Promise<Balloon> {
    return this.#send("GET /balloon", undefined, signal);
  }

  /** What the guest says of its memory; refused unless the balloon has a polling interval. */
  balloonStatistics(signal: AbortSignal): Promise<BalloonStats> {
    return this.#send("GET /balloon/statistics", undefined, signal);
  }

  /** Starts the guest. */
  start(signal: AbortSignal): Promise<void> {
    return this.#act("InstanceStart", signal);
  }

  /** Presses Ctrl-Alt-Del in the guest, which by default reboots. */
  sendCtrlAltDel(signal: AbortSignal): Promise<void> {
    return this.#act("SendCtrlAltDel", signal);
  }

  /** Writes one line of metrics now. */
  flushMetrics(signal: AbortSignal): Promise<void> {
    return this.#act("FlushMetrics", signal);
  }

  /** Stops the guest's vCPUs. Pausing a paused guest is fine. */
  pause(signal: AbortSignal): Promise<void> {
    return this.#send("PATCH /vm", { state: "Paused" }, signal);
  }

  resume(signal: AbortSignal): Promise<void> {
    return this.#send("PATCH /vm", { state: "Resumed" }, signal);
  }

  /** Of a paused guest: its memory and its state in two new files. */
  createSnapshot(
    snapshot: SnapshotCreateParams,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send("PUT /snapshot/create", snapshot, signal);
  }

  /** In a process in which nothing but logger and metrics is configured. */
  loadSnapshot(
    snapshot: SnapshotLoadParams,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send("PUT /snapshot/load", snapshot, signal);
  }

  #act(
    action: ApiOperations["PUT /actions"]["body"]["action_type"],
    signal: AbortSignal,
  ): Promise<void> {
    return this.#send("PUT /actions", { action_type: action }, signal);
  }

  /** @param id what stands for the name in braces */
  async #send<O extends keyof ApiOperations>(
    operation: O,
    body: ApiOperations[O]["body"],
    signal: AbortSignal,
    id = "",
  ): Promise<ApiOperations[O]["reply"]> {
    const [method = "", template = ""] = operation.split(" ");
    const path = template.replace(/\{\w+\}/, () => encodeURIComponent(id));
    const { replyMs, snapshotMs } = this.#limits;
    const call = {
      socketPath: this.#socketPath,
      method,
      path,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      limitMs: path.startsWith("/snapshot/") ? snapshotMs : replyMs,
    };
    const reply = await exchange(call, signal);
    return parseReply(operation, `${method} ${path}`, reply);
  }
}
