import { openSync, writeFileSync, writeSync } from "node:fs";
import { ApiFault, osError } from "./api-fault.js";
import { BalloonDevice } from "./balloon-device.js";
import type {
  Drive,
  Logger,
  Metrics,
  NetworkInterface,
  SnapshotLoad,
  Vsock,
} from "./bodies.js";
import { checkDriveFile, checkStart, checkTap } from "./configuration.js";
import type { ValidRequest } from "./description.js";
import { Guest, type GuestOptions } from "./guest.js";
import { checkPhase } from "./legal-order.js";
import type { Log } from "./logger.js";
import { MetadataStore } from "./metadata-store.js";
import { MetricsFile } from "./metrics.js";
import {
  memoryFile,
  overridden,
  readSavedState,
  writeSavedState,
} from "./saved-state.js";
import { VmResources } from "./vm-resources.js";
import { VsockProxy } from "./vsock-proxy.js";

/** An answer that is no refusal. */
export interface ApiReply {
  readonly status: 200 | 204;
  readonly body?: unknown;
}

const done: ApiReply = { status: 204 };

/** Of what a VM is made, beside its requests. */
export interface MicroVmOptions {
  readonly id: string;
  readonly version: string;
  readonly guest: "qemu" | "none";
  readonly guestOptions: Omit<GuestOptions, "incoming" | "agentOpen">;
  readonly vsockSilentMs: number;
  readonly log: Log;
  /** the guest has rebooted (status 0) or QEMU has ended by itself (1) */
  readonly end: (status: number) => void;
}

/** A microVM from its first request to its end: what requests do, and what they may do when. */
export class MicroVm {
  readonly #options: MicroVmOptions;
  #state: "Not started" | "Running" | "Paused" = "Not started";
  readonly #resources = new VmResources();
  readonly #balloon = new BalloonDevice();
  readonly #mmds = new MetadataStore();
  #vsock: VsockProxy | undefined;
  #metrics: MetricsFile | undefined;
  #guest: Guest | undefined;
  #requests = 0;

  constructor(options: MicroVmOptions) {
    this.#options = options;
  }

  /** @throws ApiFault */
  async handle({ route, body }: ValidRequest): Promise<ApiReply> {
    this.#requests += 1;
    checkPhase(route.operationId, body, this.#state !== "Not started");
    return this.#perform(route.operationId, body);
  }

  async #perform(operation: string, body: unknown): Promise<ApiReply> {
    switch (operation) {
      case "describeInstance":
        return this.#answer({
          id: this.#options.id,
          state: this.#state,
          vmm_version: this.#options.version,
          app_name: "Firecracker",
        });
      case "getFirecrackerVersion":
        return this.#answer({ firecracker_version: this.#options.version });
      case "getMachineConfiguration":
        return this.#answer(this.#resources.vm.machine);
      case "getExportVmConfig":
        return this.#answer(this.#resources.whole());
      case "putLogger":
        return this.#putLogger(body as Logger);
      case "putMetrics":
        return this.putMetrics(body as Metrics);
      case "putCpuConfiguration":
        this.#resources.show("cpu-config", body);
        return done;
      case "createSyncAction":
        return this.#act((body as { action_type: string }).action_type);
      case "patchVm":
        return this.#patchState((body as { state: string }).state);
      case "createSnapshot":
        return this.#createSnapshot(
          body as { snapshot_path: string; mem_file_path: string },
        );
      case "loadSnapshot":
        return this.#loadSnapshot(body as SnapshotLoad);
      case "getMmds":
        return this.#answer(this.#mmds.content);
      case "putMmds":
        this.#mmds.put(body);
        return done;
      case "patchMmds":
        this.#mmds.patch(body);
        return done;
      case "patchGuestDriveByID":
        return this.#patchDrive(body as Drive);
      case "patchGuestNetworkInterfaceByID":
        this.#resources.checkNic((body as NetworkInterface).iface_id);
        return done;
      case "getMemoryHotplug":
        return this.#answer(this.#resources.hotplugStatus());
      case "patchMemoryHotplug":
        this.#resources.updateHotplug(body as object);
        return done;
      case "putGuestVsock":
        this.#resources.touch();
        return this.#putVsock(body as Vsock);
      default:
        if (/(?<!put)Balloon/.test(operation))
          return this.#useBalloon(operation, body);
        this.#resources.configure(operation, body);
        return done;
    }
  }

  #answer(body: unknown): ApiReply {
    return { status: 200, body };
  }

  #putLogger(body: Logger): ApiReply {
    try {
      this.#options.log.configure(body);
    } catch (error) {
      throw new ApiFault(
        `Logger error: Failed to open target file: ${osError(error)}`,
      );
    }
    this.#resources.show("logger", body);
    return done;
  }

  /** @throws ApiFault when there is a file already, or this one cannot be opened */
  putMetrics(body: Metrics): ApiReply {
    const refuse = (reason: string): never => {
      throw new ApiFault(
        `Metrics error: Cannot initialize the metrics system due to bad user input: ${reason}`,
      );
    };
    if (this.#metrics) refuse("Reinitialization of metrics not allowed.");
    try {
      this.#metrics = new MetricsFile(body, this.#options.id);
    } catch (error) {
      refuse(osError(error));
    }
    this.#resources.show("metrics", body);
    return done;
  }

  async #putVsock(vsock: Vsock): Promise<ApiReply> {
    if (this.#vsock && this.#resources.vm.vsock) await this.#vsock.close();
    try {
      this.#vsock = await VsockProxy.listen(vsock.uds_path);
    } catch (error) {
      throw new ApiFault(
        `Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: ${osError(error)}`,
      );
    }
    this.#resources.change({ vsock });
    return done;
  }

  async #act(action: string): Promise<ApiReply> {
    if (action === "InstanceStart") {
      checkStart(this.#resources.vm, this.#options.version);
      await this.#startGuest({ agentOpen: false });
      await this.#guest?.run();
      this.#state = "Running";
      return done;
    }
    if (action === "FlushMetrics") await this.#flush();
    else await this.#guest?.pressCtrlAltDel();
    return done;
  }

  async #flush(): Promise<void> {
    await this.#metrics?.flush(this.#resources.vm, this.#guest, {
      actions_count: this.#requests,
    });
  }

  async #startGuest(
    how: Pick<GuestOptions, "agentOpen" | "incoming">,
  ): Promise<void> {
    if (this.#options.guest === "qemu") {
      const path = this.#resources.vm.serial?.serial_out_path;
      let consoleFile: number | undefined;
      try {
        if (path !== undefined) consoleFile = openSync(path, "a");
        this.#guest = await Guest.create(this.#resources.vm, {
          ...this.#options.guestOptions,
          ...how,
        });
      } catch (error) {
        throw new ApiFault(
          `Start microvm error: Internal error: ${(error as Error).message}`,
        );
      }
      this.#watch(this.#guest, consoleFile);
    }
    this.#metrics?.start(() => this.#flush());
  }

  #watch(guest: Guest, consoleFile: number | undefined): void {
    guest.on("console", (chunk) => {
      if (consoleFile === undefined) process.stdout.write(chunk);
      else writeSync(consoleFile, chunk);
    });
    guest.on("reset", () => {
      guest.removeAllListeners("end");
      void guest.kill().then(() => this.#options.end(0));
    });
    guest.on("end", (reason) => {
      this.#options.log.line(reason, "error");
      this.#options.end(1);
    });
    setTimeout(() => this.#vsock?.attach(guest), this.#options.vsockSilentMs);
  }

  async #patchState(state: string): Promise<ApiReply> {
    if (state === "Paused") await this.#guest?.pause();
    else await this.#guest?.run();
    this.#state = state === "Paused" ? "Paused" : "Running";
    return done;
  }

  async #createSnapshot(paths: {
    snapshot_path: string;
    mem_file_path: string;
  }): Promise<ApiReply> {
    const refuse = (reason: string): never => {
      throw new ApiFault(`Create snapshot error: ${reason}`);
    };
    if (this.#state !== "Paused")
      refuse(
        "Cannot save the microVM state: Operation not allowed: save/restore unavailable while running",
      );
    try {
      writeSavedState(paths.snapshot_path, {
        vm: this.#resources.vm,
        agentOpen: this.#guest?.agentOpen ?? false,
      });
      writeFileSync(paths.mem_file_path, "");
      await this.#guest?.save(paths.mem_file_path);
    } catch (error) {
      refuse(`Cannot write the memory file: ${(error as Error).message}`);
    }
    return done;
  }

  async #loadSnapshot(load: SnapshotLoad): Promise<ApiReply> {
    const refuse = (reason: string): never => {
      throw new ApiFault(`Load snapshot error: ${reason}`);
    };
    const memory = memoryFile(load);
    if (this.#resources.touched)
      refuse(
        "Loading a microVM snapshot not allowed after configuring boot-specific resources.",
      );
    try {
      const saved = readSavedState(load.snapshot_path);
      this.#resources.change(overridden(saved.vm, load));
      for (const { path_on_host, is_read_only } of this.#resources.vm.drives)
        checkDriveFile(path_on_host ?? "", is_read_only === true);
      for (const { host_dev_name } of this.#resources.vm.nics)
        checkTap(host_dev_name, []);
      if (this.#resources.vm.vsock)
        await this.#putVsock(this.#resources.vm.vsock);
      await this.#startGuest({
        agentOpen: saved.agentOpen,
        incoming: memory,
      });
      if (load.resume_vm === true) await this.#guest?.run();
    } catch (error) {
      // Firecracker takes itself for too dirty to go on after this, and ends.
      setTimeout(() => this.#options.end(1), 50);
      refuse(`Failed to restore from snapshot: ${(error as Error).message}`);
    }
    this.#state = load.resume_vm === true ? "Running" : "Paused";
    return done;
  }

  async #patchDrive(update: Drive): Promise<ApiReply> {
    const at = this.#resources.vm.drives.findIndex(
      ({ drive_id }) => drive_id === update.drive_id,
    );
    const drive = this.#resources.vm.drives[at];
    if (!drive)
      throw new ApiFault(
        "Drive config error: Unable to patch the block device: Device not found",
      );
    if (update.path_on_host !== undefined) {
      checkDriveFile(update.path_on_host, drive.is_read_only === true);
      await this.#guest?.changeDrive(at, drive, update.path_on_host);
    }
    this.#resources.change({
      drives: this.#resources.vm.drives.with(at, { ...drive, ...update }),
    });
    return done;
  }

  async #useBalloon(operation: string, body: unknown): Promise<ApiReply> {
    const { balloon, answer } = await this.#balloon.handle(
      operation,
      body,
      this.#resources.vm,
      this.#guest,
    );
    if (balloon) this.#resources.change({ balloon });
    return answer === undefined ? done : this.#answer(answer);
  }
}
