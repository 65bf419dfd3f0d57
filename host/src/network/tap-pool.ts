import {
  describeError,
  type CommandRunner,
  type Logger,
  type Privileged,
  type PrivilegedRequest,
  type VmId,
  type VmRecord,
} from "@banger/core";
import { findPoolDevices, type PoolDevices } from "./pool-devices.js";
import { TapClaims } from "./tap-claims.js";
import {
  isPoolDeviceName,
  isTapDeviceName,
  poolDeviceName,
  poolDeviceNumber,
  poolNumbers,
} from "./tap-names.js";
import {
  drainTapPool,
  fillTapPool,
  mostPooled,
  poolBatch,
} from "./tap-pool-requests.js";

/** Requests that make devices at the same time. */
const mostBatches = 2;

/** A start takes a device when it has most to do: new ones can wait until it is past that, ms. */
const refillDelayMs = 1_000;

/** How often names are chosen until enough of them were free: another install may make devices at the same time. */
const mostTurns = 3;

/** What is known of the pool. */
export interface TapPoolState {
  /** devices that wait for a VM */
  readonly idle: number;
  /** how many there should be */
  readonly size: number;
  /** why the last attempt to make some failed */
  readonly problem?: string;
}

/**
 * TAP devices that are made before a VM needs one, and who may have which. Idle devices are the host's own, by their alias: a daemon that
 * ends without warning loses none. They belong to the install's owner.
 */
export class TapPool {
  readonly claims = new TapClaims();
  readonly #size: number;
  readonly #tag: string;
  readonly #privileged: Privileged;
  readonly #commands: CommandRunner;
  readonly #logger: Logger;
  readonly #free = new Set<string>();
  readonly #never = new AbortController().signal;
  #isOpen = false;
  /** devices that are on their way back */
  #returning = 0;
  #nextNumber = 0;
  #work: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** somebody will fill it, and has not begun */
  #isWanted = false;
  #problem: string | undefined;

  /** @param size devices that wait for a VM; 0 for none */
  constructor(options: {
    readonly size: number;
    readonly install: string;
    readonly privileged: Privileged;
    readonly commands: CommandRunner;
    readonly logger: Logger;
  }) {
    this.#size = options.size;
    this.#tag = options.install;
    this.#privileged = options.privileged;
    this.#commands = options.commands;
    this.#logger = options.logger;
  }

  get state(): TapPoolState {
    return {
      idle: this.#free.size,
      size: this.#size,
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    };
  }

  /**
   * Takes over what an earlier daemon has left, and begins to make what is missing, in the background. Before anybody asks for a name. Never
   * rejects.
   * @param vms all records: what one of them names is its own
   */
  async start(vms: readonly VmRecord[]): Promise<void> {
    for (const { id, runtime } of vms) {
      const { tapDevice, networkMode } = runtime;
      if (networkMode !== "bridge" || tapDevice === undefined) continue;
      if (isTapDeviceName(tapDevice)) this.claims.claim(id, tapDevice);
    }
    if (this.#privileged.kind === "none") return;
    if ((await this.#commands.find("ip")) === undefined) return;
    try {
      const found = await this.#look();
      const idle = found.idle.filter((name) => !this.claims.isClaimed(name));
      for (const name of idle.slice(0, this.#size)) this.#free.add(name);
      this.#isOpen = this.#size > 0;
      const superfluous = [...idle.slice(this.#size), ...found.unmarked];
      this.#run(async () => {
        await this.#drain(superfluous);
        await this.#fill();
      });
    } catch (error) {
      this.#isOpen = this.#size > 0;
      this.#fail(error);
    }
  }

  /** An idle device, which the caller claims at once, or `undefined`. In the background another one is made. */
  take(): string | undefined {
    const [device] = this.#free;
    if (device !== undefined) this.#free.delete(device);
    this.#refill();
    return device;
  }

  /**
   * Ends a VM's claim of a device, once it is removed.
   * @param remove gives the device back to the pool, if `keep` and it can be, or deletes it; returns whether it is idle now
   * @throws what `remove` throws; then the device is the VM's still
   */
  async takeBack(
    id: VmId,
    device: string,
    remove: (keep: boolean) => Promise<boolean>,
  ): Promise<void> {
    const keep = isPoolDeviceName(device) && this.#hasRoom();
    if (keep) this.#returning++;
    let isIdle: boolean;
    try {
      isIdle = await remove(keep);
    } finally {
      if (keep) this.#returning--;
    }
    this.claims.release(id, device);
    if (!isIdle || this.claims.isClaimed(device)) return;
    if (this.#hasRoom()) this.#free.add(device);
    // It was never used, and there are enough by now.
    else this.#run(() => this.#drainSuperfluous(device));
  }

  /**
   * Ends what is under way and deletes the idle devices, also those that were promised to a VM and never used; later ones of VMs are deleted
   * with their VMs. Never rejects.
   */
  async stop(): Promise<void> {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    await this.#work;
    this.#free.clear();
    if (!wasOpen) return;
    this.#run(async () => this.#drain((await this.#look()).idle));
    await this.#work;
  }

  #hasRoom(): boolean {
    return this.#isOpen && this.#free.size + this.#returning < this.#size;
  }

  #refill(): void {
    if (!this.#isOpen || this.#isWanted) return;
    this.#isWanted = true;
    this.#timer = setTimeout(() => {
      this.#run(() => this.#fill());
    }, refillDelayMs);
    this.#timer.unref();
  }

  /** One after another; what fails is said once, and tried again when the next VM takes a device. */
  #run(work: () => Promise<void>): void {
    const before = this.#work;
    const turn = (async () => {
      await before;
      try {
        await work();
      } catch (error) {
        this.#fail(error);
      }
    })();
    this.#work = turn;
    void turn.then(() => {
      if (this.#work === turn) this.#work = undefined;
    });
  }

  async #fill(): Promise<void> {
    this.#isWanted = false;
    for (let turn = 0; turn < mostTurns && this.#isOpen; turn++) {
      const before = new Set(this.#free);
      const { idle, all } = await this.#look();
      // Somebody may have deleted one of them.
      for (const name of before) if (!all.has(name)) this.#free.delete(name);
      for (const name of idle)
        if (this.#hasRoom() && !this.claims.isClaimed(name))
          this.#free.add(name);
      const missing = this.#size - this.#free.size - this.#returning;
      if (missing <= 0) break;
      await this.#make(this.#freshNames(missing, all));
    }
    this.#problem = undefined;
  }

  async #make(names: readonly string[]): Promise<void> {
    const batches = inBatches(names, poolBatch);
    for (const turn of inBatches(batches, mostBatches)) {
      if (!this.#isOpen) return;
      const outcomes = await Promise.allSettled(
        turn.map(async (devices) => {
          const input = { devices: [...devices] };
          const made = await this.#request(fillTapPool, input);
          // In an answer nothing is believed that was not asked for.
          for (const device of made.devices)
            if (devices.includes(device) && !this.claims.isClaimed(device))
              this.#free.add(device);
        }),
      );
      for (const outcome of outcomes)
        if (outcome.status === "rejected") throw outcome.reason;
    }
  }

  /** Behind those that the host has, which may be another install's. */
  #freshNames(count: number, taken: ReadonlySet<string>): readonly string[] {
    const highest = Math.max(-1, ...[...taken].map(poolDeviceNumber));
    this.#nextNumber = Math.max(this.#nextNumber, highest + 1);
    const names: string[] = [];
    while (names.length < count) {
      const name = poolDeviceName(this.#nextNumber++ % poolNumbers);
      if (!taken.has(name) && !this.claims.isClaimed(name)) names.push(name);
    }
    return names;
  }

  async #drain(devices: readonly string[]): Promise<void> {
    for (const batch of inBatches(devices, mostPooled))
      await this.#request(drainTapPool, { devices: [...batch] });
  }

  /** Unless it has been found meanwhile: it waits for a VM then, or is one's. */
  async #drainSuperfluous(device: string): Promise<void> {
    if (this.#free.has(device) || this.claims.isClaimed(device)) return;
    await this.#drain([device]);
  }

  #look(): Promise<PoolDevices> {
    return findPoolDevices(this.#tag, this.#commands);
  }

  #request<Input, Output>(
    request: PrivilegedRequest<Input, Output>,
    input: Input,
  ): Promise<Output> {
    return this.#privileged.request(request, input, this.#never);
  }

  #fail(error: unknown): void {
    this.#problem = describeError(error);
    this.#logger.warn("Pool of TAP devices cannot be kept", { error });
  }
}

function inBatches<T>(
  items: readonly T[],
  size: number,
): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
