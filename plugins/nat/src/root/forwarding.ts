import type { CommandRunner } from "@banger/core";

/** ms */
const timeoutMs = 10_000;
const everywhere = "net.ipv4.ip_forward";

/** Whether the kernel passes packets on between devices. */
export class Forwarding {
  readonly #commands: CommandRunner;
  readonly #signal: AbortSignal;

  constructor(commands: CommandRunner, signal: AbortSignal) {
    this.#commands = commands;
    this.#signal = signal;
  }

  /** Is it on for the host as a whole? */
  async isOn(): Promise<boolean> {
    const { stdout } = await this.#run(["-n", everywhere]);
    return stdout.trim() === "1";
  }

  /** Switches it on for the host, which is for every device, and for what comes from a bridge. Idempotent. */
  async open(bridge: string): Promise<void> {
    await this.#write(`${everywhere}=1`, `${ofDevice(bridge)}=1`);
  }

  /** Nothing that comes from this bridge is passed on. Idempotent; the bridge may be gone. */
  async close(bridge: string): Promise<void> {
    await this.#write(`${ofDevice(bridge)}=0`);
  }

  /** For the host, which is for every device. */
  async set(isOn: boolean): Promise<void> {
    await this.#write(`${everywhere}=${isOn ? "1" : "0"}`);
  }

  async #write(...values: readonly string[]): Promise<void> {
    // `-e`: the bridge may be gone.
    await this.#run(["-e", "-q", "-w", ...values]);
  }

  #run(args: readonly string[]): ReturnType<CommandRunner["run"]> {
    return this.#commands.run({
      file: "sysctl",
      args,
      timeoutMs,
      signal: this.#signal,
    });
  }
}

function ofDevice(name: string): string {
  return `net.ipv4.conf.${name}.forwarding`;
}
