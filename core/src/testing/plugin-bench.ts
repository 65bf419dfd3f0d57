import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Image } from "../model/image.js";
import type { VmRecord } from "../model/vm.js";
import { composeHooks } from "../plugins/compose-hooks.js";
import type { Plugin, PluginServices } from "../plugins/define-plugin.js";
import {
  createPluginContainer,
  type PluginContainer,
} from "../plugins/plugin-container.js";
import type { PluginManifest } from "../plugins/manifest.js";
import { PluginSet } from "../plugins/plugin-set.js";
import { FakeCommandRunner } from "./fake-command-runner.js";
import { endedProcess } from "./fake-guest.js";
import { FakeGuestEgress } from "./fake-guest-egress.js";
import { FakePrivileged } from "./fake-privileged.js";
import { FakeNetwork } from "./fake-network.js";
import { FakeVmStore } from "./fake-vm-store.js";
import {
  fakeGuestKeys,
  fakeHostFacts,
  fakeImage,
  fakeOperation,
  fakeVm,
} from "./fixtures.js";
import { HostCalls } from "./host-calls.js";
import { interceptContract } from "./intercept-contracts.js";
import { memoryLogger } from "./memory-logger.js";
import { snapshotTree, type TreeSnapshot } from "./tree-snapshot.js";

/** The fake host of one test, as `arrange` gets it: a temporary directory, programs, and objects that scripts make. */
export interface ContractHost {
  /** removed after the test */
  readonly directory: string;
  /** exists, empty */
  readonly homeDirectory: string;
  readonly commands: FakeCommandRunner;
  readonly network: FakeNetwork;
  /** names of what scripts made that is no file: rules, devices, routes */
  readonly objects: Set<string>;
  /** may be replaced, for a plugin that looks at the image's files */
  image: Image;
}

export interface BenchOptions {
  readonly plugin: Plugin;
  readonly manifest: PluginManifest;
  /** the plugin's config section as the user writes it; default: none */
  readonly section?: unknown;
  /** Prepares each fresh host: installs programs, writes files. */
  readonly arrange?: (host: ContractHost) => Promise<void> | void;
  /** the VM that the tests use, made from a default one */
  readonly vm?: (vm: VmRecord) => VmRecord;
}

/** What exists: in the VM's own directory, elsewhere, and what the record says of this plugin. */
export interface HostState {
  readonly vm: TreeSnapshot;
  readonly outside: TreeSnapshot;
  readonly objects: readonly string[];
  readonly teardown: unknown;
}

/** One plugin on one fake host. */
export class PluginBench {
  readonly calls = new HostCalls();
  readonly host: ContractHost;
  readonly #options: BenchOptions;
  readonly #store: FakeVmStore;
  readonly #vm: VmRecord;
  #container: PluginContainer | undefined;

  private constructor(options: BenchOptions, directory: string) {
    this.#options = options;
    this.host = {
      directory,
      homeDirectory: join(directory, "home"),
      commands: new FakeCommandRunner(),
      network: new FakeNetwork(),
      objects: new Set(),
      image: fakeImage(),
    };
    const base = fakeVm();
    const withDirectories = fakeVm({
      spec: { plugins: [options.plugin.id] },
      runtime: {
        directory: join(directory, "vms", base.id),
        runDirectory: join(directory, "run", base.id),
        startedPlugins: [options.plugin.id],
      },
    });
    this.#vm = options.vm?.(withDirectories) ?? withDirectories;
    this.#store = new FakeVmStore([this.#vm]);
  }

  /** Runs `work` on a fresh host, which is gone afterwards. */
  static async use<T>(
    options: BenchOptions,
    work: (bench: PluginBench) => Promise<T>,
  ): Promise<T> {
    const directory = await mkdtemp(join(tmpdir(), "banger-contract-"));
    const bench = new PluginBench(options, directory);
    try {
      const { directory: own, runDirectory } = bench.#vm.runtime;
      for (const path of [own, runDirectory, bench.host.homeDirectory])
        await mkdir(path, { recursive: true, mode: 0o700 });
      await options.arrange?.(bench.host);
      bench.calls.expect();
      return await work(bench);
    } finally {
      await bench.#container?.dispose();
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** The record as it is now. */
  async vm(): Promise<VmRecord> {
    return (await this.#store.find(this.#vm.id)) ?? this.#vm;
  }

  /** The plugin as a newly started daemon has it; an earlier one is disposed of. */
  async load(): Promise<PluginSet> {
    await this.#container?.dispose();
    const { plugin } = this.#options;
    const config: unknown = plugin.config.parse(this.#options.section ?? {});
    const container = createPluginContainer(plugin, config, this.#services());
    this.#container = container;
    const applied = [{ plugin, services: container.services }];
    const neighbours = [
      plugin.id,
      ...this.#options.manifest.requires,
      ...this.#options.manifest.after,
    ];
    const store = interceptContract("vmStore", this.#store, this.calls);
    const hooks = composeHooks(applied, neighbours);
    return new PluginSet([plugin.id], hooks, store);
  }

  /** Everything of a start that the plugin takes part in on the host. */
  async start(set: PluginSet, signal = this.calls.signal): Promise<void> {
    const operation = fakeOperation(signal);
    await set.prepareHost(await this.vm(), this.host.image, operation);
    await set.postStart(
      await this.vm(),
      this.host.image,
      () => this.calls.call("guestSsh.exec", async () => endedProcess()),
      operation,
    );
  }

  /** Cleanup as a new daemon does it: from the record alone. @returns what failed */
  async cleanUp(reason: "stop" | "delete"): Promise<readonly string[]> {
    this.calls.expect();
    const set = await this.load();
    // Without handles: whoever was killed may not have written them.
    const faults = await set.cleanup(
      await this.vm(),
      undefined,
      reason,
      fakeOperation(),
    );
    return faults.map(({ message }) => message);
  }

  async state(): Promise<HostState> {
    const vmPath = `vms/${this.#vm.id}/`;
    const all = Object.entries(await snapshotTree(this.host.directory));
    const isOwn = ([path]: [string, string]): boolean =>
      path.startsWith(vmPath);
    const { runtime } = await this.vm();
    return {
      vm: Object.fromEntries(all.filter(isOwn)),
      outside: Object.fromEntries(all.filter((entry) => !isOwn(entry))),
      objects: [...this.host.objects].sort(),
      teardown: runtime.teardown,
    };
  }

  #services(): PluginServices {
    const { commands, network, homeDirectory } = this.host;
    const intercepted = interceptContract("commands", commands, this.calls);
    return {
      commands: intercepted,
      // Killed and failing at the commands that a request runs, which are what leaves something.
      privileged: new FakePrivileged(intercepted),
      guestEgress: new FakeGuestEgress(),
      network: interceptContract("network", network, this.calls),
      hostFacts: fakeHostFacts({ homeDirectory }),
      guestKeys: interceptContract("guestKeys", fakeGuestKeys(), this.calls),
      logger: memoryLogger(),
    };
  }
}
