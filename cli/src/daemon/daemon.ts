import { setTimeout as sleep } from "node:timers/promises";
import {
  beginOperation,
  PluginOrderError,
  type CheckSection,
  type Logger,
  type OperationContext,
  type ReconcileReport,
  type VmId,
  type VmService,
} from "@banger/core";
import {
  Activity,
  ApiServer,
  ConsoleReader,
  daemonRoutes,
  DirectoryImageStore,
  guestRoutes,
  hostChecks,
  imageRoutes,
  LogLimiter,
  operationRoutes,
  pluginRoutes,
  readInstallRecord,
  usualRequest,
  vmRoutes,
  type DaemonFacts,
  type HostRoot,
  type LoadedConfig,
  type Route,
} from "@banger/host";
import type { EnabledPlugins } from "../plugins/enabled-plugins.js";
import { EphemeralReaper } from "./ephemeral-reaper.js";
import { settledWithin } from "./settled-within.js";
import { StaleStopper } from "./stale-stopper.js";
import { StatsPoller } from "./stats-poller.js";
import { UseRecorder } from "./use-recorder.js";

export interface DaemonOptions {
  readonly root: HostRoot;
  readonly config: LoadedConfig;
  readonly facts: DaemonFacts;
  readonly logger: Logger;
  readonly enabledPlugins: EnabledPlugins;
  readonly describeConfig: () => Promise<unknown>;
  /** writes into the configuration file whether a plugin is enabled */
  readonly savePluginEnabled: (id: string, enabled: boolean) => Promise<void>;
  /** has the configuration file changed since this daemon read it? */
  readonly configChanged: () => boolean;
  /** called once when a client asked the daemon to end */
  readonly onStopRequest: () => void;
}

/** Longest wait for operations to clean up when the daemon ends, and for other cleanups after that, ms. */
const endLimitMs = 60_000;

/** How long the daemon's first answer waits for all VMs to be looked at, ms. */
const reconcileWaitMs = 5_000;

/** The running daemon: API, reconciled VMs, reaper. */
export class Daemon {
  readonly #options: DaemonOptions;
  readonly #activity: Activity;
  readonly #server: ApiServer;
  readonly #reaper: EphemeralReaper;
  readonly #logLimiter: LogLimiter;
  readonly #statsPoller: StatsPoller;
  readonly #staleStopper: StaleStopper | undefined;
  readonly #useRecorder: UseRecorder;
  readonly #vmService: VmService;
  #reconcileReport: ReconcileReport | undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
    const { root, facts, logger } = options;
    this.#vmService = root.cradle.vmService;
    const { operations } = root.cradle;
    this.#activity = new Activity(
      operations,
      (vmId, remaining) => {
        this.#used(vmId);
        if (remaining === 0) void this.#reaper.consider(vmId);
      },
      (vmId) => {
        this.#used(vmId);
      },
    );
    this.#reaper = new EphemeralReaper({
      vmStore: root.cradle.vmStore,
      vmService: this.#vmService,
      operations,
      sessionsOf: (vmId) => this.#activity.sessionsOf(vmId),
    });
    const { vmStore, collectStats, touchVm } = root.cradle;
    this.#logLimiter = new LogLimiter({ vmStore, logger });
    const { statsPollIntervalMs, autoStopStaleAfterMs } = options.config.values;
    this.#statsPoller = new StatsPoller({
      ...{ vmStore, collectStats, logger },
      intervalMs: statsPollIntervalMs,
    });
    if (autoStopStaleAfterMs !== undefined)
      this.#staleStopper = new StaleStopper({
        ...{ vmService: this.#vmService, operations, logger },
        sessionsOf: (vmId) => this.#activity.sessionsOf(vmId),
        staleAfterMs: autoStopStaleAfterMs,
      });
    this.#useRecorder = new UseRecorder({ touchVm, logger });
    this.#server = new ApiServer({
      routes: this.#routes(),
      version: facts.version,
      build: facts.build,
      configChanged: options.configChanged,
      socketPath: root.cradle.paths.daemonSocket,
      logger,
      operations,
      activity: this.#activity,
      vmService: this.#vmService,
      guestSsh: root.cradle.guestSsh,
    });
  }

  /** Makes store and host agree, then answers. */
  async start(): Promise<void> {
    const { root, logger } = this.#options;
    const { imageStore, operations } = root.cradle;
    if (imageStore instanceof DirectoryImageStore)
      await imageStore.removeStaging();
    const { tapPool, vmStore } = root.cradle;
    // Before anything starts or stops a VM: from then on it knows whose every device is.
    await tapPool.start(await vmStore.list());
    const reconciled = operations.run(
      "reconcile VMs",
      {},
      async (operation) => {
        this.#reconcileReport = await this.#vmService.reconcile(operation);
      },
    );
    // One guest that hangs must not keep everybody from the daemon; its lock is held until it is settled.
    await Promise.race([
      reconciled,
      sleep(reconcileWaitMs, undefined, { ref: false }),
    ]);
    // The reaper looks each of them up again, which a thousand others need not.
    for (const { id, spec } of await this.#vmService.list())
      if (spec.ephemeral) await this.#reaper.consider(id);
    this.#logLimiter.start();
    this.#statsPoller.start();
    this.#staleStopper?.start();
    await this.#server.listen();
    logger.info("Daemon answers", { pid: process.pid, ...this.#options.facts });
  }

  /** Cancels what is under way, lets it clean up, and ends. VMs run on. */
  async stop(): Promise<void> {
    this.#reaper.close();
    this.#logLimiter.close();
    await this.#ended(
      "operations",
      Promise.all([
        // What reconcile still looks at is an operation, too.
        this.#activity.end(endLimitMs),
        this.#statsPoller.close(),
        this.#staleStopper?.close(),
      ]),
    );
    await this.#ended("cleanups", this.#vmService.close());
    const { tapPool } = this.#options.root.cradle;
    await this.#ended("the pool of TAP devices", tapPool.stop());
    await this.#server.close();
    await this.#useRecorder.close();
    // In the order in which they need each other: awilix would dispose of all at once.
    await this.#options.root.cradle.pluginRegistry.dispose();
    await this.#options.root.dispose();
  }

  /** What hangs is left behind: the next daemon finishes it. */
  async #ended(what: string, work: Promise<unknown>): Promise<void> {
    if (await settledWithin(endLimitMs, work)) return;
    this.#options.logger.error("Not everything has ended", { what });
  }

  /** A session began or ended. */
  #used(vmId: VmId): void {
    this.#staleStopper?.used(vmId);
    this.#useRecorder.used(vmId);
  }

  #routes(): readonly Route[] {
    const { root, facts, enabledPlugins, describeConfig, onStopRequest } =
      this.#options;
    const { requirements, imageStore, pluginRegistry, operations } =
      root.cradle;
    const checkRequirements = (): Promise<void> => requirements.check();
    return [
      ...vmRoutes({
        vmService: this.#vmService,
        consoleReader: new ConsoleReader(),
        checkRequirements,
        onLaunched: (vm) => void this.#reaper.consider(vm.id),
      }),
      ...guestRoutes({ guestService: root.cradle.guestService }),
      ...imageRoutes({ imageStore, checkRequirements }),
      ...pluginRoutes({
        pluginRegistry,
        enabledPlugins: () => enabledPlugins.ids,
        setEnabled: (id, enabled) => this.#setEnabled(id, enabled),
      }),
      ...operationRoutes({ operations }),
      ...daemonRoutes({
        facts,
        operations,
        countRunning: async () =>
          (await this.#vmService.list()).filter(
            ({ state }) => state === "running",
          ).length,
        reconcileReport: () => this.#reconcileReport,
        requestStop: onStopRequest,
        diagnose: () => this.#diagnose(),
        requirements: () => requirements.report(),
        describeConfig,
      }),
    ];
  }

  async #diagnose(): Promise<readonly CheckSection[]> {
    const { root, config, logger, enabledPlugins } = this.#options;
    const {
      requirements,
      vmmDrivers,
      imageStore,
      vmStore,
      vmFiles,
      hostFacts,
      rootDiskProbe,
      privileged,
      network,
      paths,
    } = root.cradle;
    const { pluginRegistry } = root.cradle;
    const operation: OperationContext = beginOperation({
      logger,
      signal: new AbortController().signal,
    });
    const host = await hostChecks({
      ...{ requirements, network, imageStore, vmStore, vmFiles, hostFacts },
      vmm: { vmmDrivers, request: usualRequest(config.values) },
      rootDisk: { rootDiskProbe, directory: paths.stateDirectory },
      privileges: { privileged, install: () => readInstallRecord() },
      defaultImage: config.values.vmDefaults.image,
      reconcileReport: () => this.#reconcileReport,
    });
    const { set, failures } = await pluginRegistry.selectLoadable(
      enabledPlugins.ids,
    );
    const broken = failures.map(({ id, message, hint }) => ({
      section: id,
      checks: [
        {
          id: `${id}.load`,
          title: "the plugin itself",
          status: "fail" as const,
          detail: message,
          fix: hint ?? `Leave it out: banger plugin disable ${id}`,
        },
      ],
    }));
    return [
      { section: "host", checks: host },
      ...(await set.doctor(operation)),
      ...broken,
    ];
  }

  async #setEnabled(id: string, enabled: boolean): Promise<void> {
    const { root, enabledPlugins, savePluginEnabled } = this.#options;
    const { pluginRegistry } = root.cradle;
    const wanted = enabledPlugins.with(id, enabled);
    const needing = wanted.find((other) =>
      pluginRegistry.get(other).manifest.requires.includes(id),
    );
    if (!enabled && needing !== undefined) {
      throw new PluginOrderError(`plugin ${needing} requires ${id}`, {
        hint: `Disable ${needing} first: banger plugin disable ${needing}`,
      });
    }
    // Loading them shows whether they work together, before anything is written; one that is broken can always go.
    if (enabled) await pluginRegistry.select(wanted);
    else pluginRegistry.order(wanted);
    await savePluginEnabled(id, enabled);
    enabledPlugins.replace(wanted);
  }
}
