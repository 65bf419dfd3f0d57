import { spawn, type ChildProcess } from "node:child_process";
import { EventEmitter } from "node:events";
import { statSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import type { Duplex } from "node:stream";
import type { Drive, VmConfiguration } from "./bodies.js";
import {
  agentDevice,
  guestArguments,
  shellWord,
  type GuestSetting,
} from "./guest-arguments.js";
import { Qmp, type QmpEvent } from "./qmp.js";

/** What a guest is started with. */
export interface GuestOptions extends Pick<
  GuestSetting,
  "pci" | "kernelArguments" | "incoming"
> {
  readonly program: string;
  /** is the agent's port open from the start? Only in a guest that goes on from a snapshot. */
  readonly agentOpen: boolean;
}

const consoleFd = 3;
const agentFd = 4;

/**
 * A guest under QEMU. It emits `reset` when the guest reboots, `end` when QEMU is gone, `agent` when the guest opens or closes the port
 * of its agent, `console` with its output.
 */
export class Guest extends EventEmitter<{
  reset: [];
  end: [string];
  agent: [boolean];
  console: [Buffer];
}> {
  /** bytes from and to the agent */
  readonly agent: Duplex;
  readonly #process: ChildProcess;
  readonly #qmp: Qmp;
  #agentOpen: boolean;
  #changes = 0;

  private constructor(child: ChildProcess, agentOpen: boolean) {
    super();
    this.#process = child;
    this.#agentOpen = agentOpen;
    this.agent = child.stdio[agentFd] as Duplex;
    this.agent.on("error", () => undefined);
    const console = child.stdio[consoleFd] as Duplex;
    console.on("data", (chunk: Buffer) => this.emit("console", chunk));
    console.on("error", () => undefined);
    this.#qmp = new Qmp(child.stdout as Readable, child.stdin as Writable);
    this.#qmp.on("event", (event) => this.#receive(event));
    child.on("error", (error) => this.emit("end", error.message));
    child.on("exit", (code, signal) =>
      this.emit("end", `QEMU ended with ${String(code ?? signal)}`),
    );
  }

  /**
   * Starts QEMU with its CPUs stopped. QEMU dies with this process, however that ends.
   * @throws Error when QEMU refuses; its own words are on stderr
   */
  static async create(
    vm: VmConfiguration,
    options: GuestOptions,
  ): Promise<Guest> {
    const args = guestArguments(vm, { ...options, consoleFd, agentFd });
    // The kernel kills QEMU with its parent; the shell asks whether the parent died before the kernel was told so.
    const script = `[ "$PPID" = ${String(process.pid)} ] || exit 1; exec "$@"`;
    const child = spawn(
      "setpriv",
      [
        ...["--pdeathsig", "KILL", "sh", "-c", script, "sh"],
        ...[options.program, ...args],
      ],
      { stdio: ["pipe", "pipe", "inherit", "pipe", "pipe"] },
    );
    const guest = new Guest(child, options.agentOpen);
    await guest.#qmp.run("qmp_capabilities");
    if (vm.balloon && vm.balloon.amount_mib > 0)
      await guest.setBalloon(vm.machine.mem_size_mib - vm.balloon.amount_mib);
    if (options.incoming !== undefined) await guest.#transferred();
    return guest;
  }

  get agentOpen(): boolean {
    return this.#agentOpen;
  }

  /** Lets the CPUs run. */
  async run(): Promise<void> {
    await this.#qmp.run("cont");
  }

  async pause(): Promise<void> {
    await this.#qmp.run("stop");
  }

  /** @param mib memory that the guest may keep */
  async setBalloon(mib: number): Promise<void> {
    await this.#qmp.run("balloon", { value: mib * 1024 * 1024 });
  }

  /** Memory that the guest has now, MiB. */
  async memoryMib(): Promise<number> {
    const { actual } = (await this.#qmp.run("query-balloon")) as {
      actual: number;
    };
    return Math.round(actual / 1024 / 1024);
  }

  async pressCtrlAltDel(): Promise<void> {
    await this.#qmp.run("send-key", {
      keys: ["ctrl", "alt", "delete"].map((data) => ({ type: "qcode", data })),
    });
  }

  /** Counters of each drive since the start, in the order of the drives. */
  async driveCounters(): Promise<readonly DriveCounters[]> {
    const stats = (await this.#qmp.run("query-blockstats", {})) as {
      qdev?: string;
      stats: Readonly<Record<string, number>>;
    }[];
    return stats
      .filter(({ qdev }) => qdev?.includes("drive") === true)
      .map(({ stats: counted }) => ({
        readBytes: counted["rd_bytes"] ?? 0,
        writeBytes: counted["wr_bytes"] ?? 0,
        reads: counted["rd_operations"] ?? 0,
        writes: counted["wr_operations"] ?? 0,
        flushes: counted["flush_operations"] ?? 0,
      }));
  }

  /** Writes the state of a paused guest, memory included. */
  async save(path: string): Promise<void> {
    await this.#qmp.run("migrate", { uri: `exec:cat > ${shellWord(path)}` });
    await this.#transferred();
  }

  /** Gives a drive another file, as Firecracker does: whatever the guest still has of the old one in memory. */
  async changeDrive(index: number, drive: Drive, path: string): Promise<void> {
    this.#changes += 1;
    const file = `drive${String(index)}-file${String(this.#changes)}`;
    const driver = statSync(path).isBlockDevice() ? "host_device" : "file";
    const readOnly = drive.is_read_only === true;
    await this.#qmp.run("blockdev-add", {
      ...{ "node-name": file, driver, filename: path, locking: "off" },
      "read-only": readOnly,
    });
    const options = {
      ...{ "node-name": `drive${String(index)}`, driver: "raw", file },
      ...{ "read-only": readOnly },
      cache: { "no-flush": drive.cache_type !== "Writeback" },
    };
    await this.#qmp.run("blockdev-reopen", { options: [options] });
  }

  async #transferred(): Promise<void> {
    for (;;) {
      const { status, "error-desc": reason } = (await this.#qmp.run(
        "query-migrate",
      )) as {
        status?: string;
        "error-desc"?: string;
      };
      if (status === "completed") return;
      if (status === "failed" || status === "cancelled")
        throw new Error(
          reason ?? `the transfer of the guest's state ${status}`,
        );
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  #receive({ event, data }: QmpEvent): void {
    if (event === "SHUTDOWN" && data?.["reason"] === "guest-reset")
      this.emit("reset");
    if (event === "VSERPORT_CHANGE" && data?.["id"] === agentDevice) {
      this.#agentOpen = data["open"] === true;
      this.emit("agent", this.#agentOpen);
    }
  }

  /** Ends QEMU and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null)
      return;
    const gone = new Promise((done) => this.#process.once("exit", done));
    this.#process.kill("SIGKILL");
    await gone;
  }
}

/** What a drive has done since the guest's start. */
export interface DriveCounters {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
}
