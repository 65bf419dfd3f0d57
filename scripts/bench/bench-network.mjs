// A bridge of guests without guests: what the bench of the pool of TAP devices measures.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "./install.mjs";

const { signal } = new AbortController();

const quiet = {
  debug() {},
  info() {},
  warn: console.error,
  error: console.error,
  child: () => quiet,
};

/** The host's side of the mode bridge, without a daemon around it. */
export class BenchNetwork {
  #network;
  #pool;
  #size;
  #vms;

  /**
   * @param size of the pool
   * @param vms how many a round has
   */
  static async make(size, vms) {
    const made = new BenchNetwork();
    const load = (path) => import(join(root, "host/dist", path));
    const { ExecaCommandRunner } = await load(
      "commands/execa-command-runner.js",
    );
    const { BridgeNetwork } = await load("network/bridge-network.js");
    const { parseBridgeSettings } = await load("network/bridge-settings.js");
    const { TapPool } = await load("network/tap-pool.js");
    const { InProcessPrivileged } = await load(
      "privileged/in-process-privileged.js",
    );
    const commands = new ExecaCommandRunner();
    const tag = `00be0c${size.toString(16).padStart(2, "0")}`;
    const privileged = new InProcessPrivileged({
      install: {
        owner: { uid: 0, gid: 0 },
        stateDirectory: "/nonexistent",
        runDirectory: "/nonexistent",
        tag,
      },
      commands,
      logger: quiet,
    });
    made.#size = size;
    made.#vms = vms;
    made.#pool = new TapPool({
      ...{ size, install: tag, privileged, commands, logger: quiet },
    });
    const subnet = size === 0 ? "172.18.0.1/24" : "172.19.0.1/24";
    made.#network = new BridgeNetwork({
      ...{ commands, privileged, pool: made.#pool, isolate: false },
      settings: parseBridgeSettings(`br-fc-bench${size}`, subnet),
      install: { tag, ownerUid: 0 },
      vms: async () => [],
      nameservers: () => [],
    });
    await made.#pool.start([]);
    return made;
  }

  /** Prepares the network of all VMs at once, and removes it. @returns ms */
  async round() {
    await this.#whole();
    const vms = Array.from({ length: this.#vms }, (_, index) =>
      this.#vm(index + 1),
    );
    const begun = performance.now();
    await Promise.all(vms.map((vm) => this.#network.prepare(vm, signal)));
    const prepared = performance.now();
    await this.#whole();
    const resumed = performance.now();
    await Promise.all(vms.map((vm) => this.#network.remove(vm)));
    const removed = performance.now();
    return {
      prepareMs: prepared - begun,
      refillMs: resumed - prepared,
      removeMs: removed - resumed,
    };
  }

  async end() {
    await this.#pool.stop();
  }

  /** Its name is reserved as start-vm does it. */
  #vm(lease) {
    const id = `${lease.toString(16).padStart(8, "0")}be0c`;
    const { guestIp } = this.#network.addresses(lease, id);
    const runtime = { guestIp, networkMode: "bridge" };
    const vm = { id, name: `bench-${lease}`, spec: { nat: false }, runtime };
    return { ...vm, runtime: { ...runtime, ...this.#network.names(vm) } };
  }

  async #whole() {
    while (this.#pool.state.idle < this.#size) await sleep(1);
  }
}
