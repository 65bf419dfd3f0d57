import { join } from "node:path";
import {
  ensureDirectories,
  loadConfig,
  readHostFacts,
  resolvePaths,
  setPluginEnabled,
  systemLayout,
  takeInstanceLock,
  type DaemonFacts,
  type HostRoot,
} from "@banger/host";
import { readBuild } from "../build-id.js";
import { compose } from "../compose.js";
import { WinstonLog } from "../logger.js";
import { describePluginSections } from "../plugins/describe-sections.js";
import { EnabledPlugins } from "../plugins/enabled-plugins.js";
import { ConfigVersion } from "./config-version.js";
import { Daemon } from "./daemon.js";

export interface RunDaemonOptions {
  /**
   * Called once with the composed container, before anything is resolved from it. A program that embeds the daemon may replace or wrap
   * registrations there; whatever asks for a service later gets that one.
   */
  readonly decorate?: (root: HostRoot) => void;
}

/**
 * Runs the daemon of the install that the environment names, until a signal or a client ends it. Resolves at once when another one of
 * this install runs.
 * @throws whatever keeps it from starting
 */
export async function runDaemon({
  decorate,
}: RunDaemonOptions = {}): Promise<void> {
  const paths = resolvePaths(process.env);
  await ensureDirectories(paths);
  const lock = takeInstanceLock(join(paths.stateDirectory, "daemon.lock"));
  if (!lock) return;
  const configVersion = new ConfigVersion(paths.configFile);
  const config = await loadConfig({
    file: paths.configFile,
    facts: readHostFacts(),
  });
  const logFile = join(paths.stateDirectory, "logs", "bangerd.log");
  const logger = WinstonLog.toFile(
    logFile,
    process.env["BANGER_LOG_LEVEL"] ?? config.values.logLevel,
  );
  const enabledPlugins = new EnabledPlugins(config.values.plugins.enabled);
  const packageRoots = {
    from: [
      import.meta.filename,
      // Before the owner's own: the helper carries out the requests of the same code.
      ...(paths.helperSocket === undefined
        ? []
        : [join(systemLayout.pluginsDirectory, "package.json")]),
      join(paths.configDirectory, "plugins", "package.json"),
    ],
  };
  const root = compose({ paths, config, logger, enabledPlugins, packageRoots });
  decorate?.(root);
  const { pluginRegistry } = root.cradle;
  // A name that nobody has is the owner's mistake, said at once. One that does not load must not keep running VMs from their owner:
  // new VMs say so, and so does doctor.
  pluginRegistry.order(enabledPlugins.ids);
  const { failures } = await pluginRegistry.selectLoadable(enabledPlugins.ids);
  for (const failure of failures)
    logger.error("Plugin cannot be used", { ...failure });

  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    stop.signal.addEventListener("abort", () => {
      resolve();
    });
  });
  const daemon = new Daemon({
    root,
    config,
    facts: daemonFacts(logFile),
    logger,
    enabledPlugins,
    describeConfig: () =>
      describePluginSections(
        config,
        pluginRegistry,
        enabledPlugins.ids,
        packageRoots,
      ),
    savePluginEnabled: async (id, enabled) => {
      await setPluginEnabled({ file: paths.configFile, id, enabled });
      configVersion.accept();
    },
    configChanged: () => configVersion.changed,
    onStopRequest: () => {
      stop.abort();
    },
  });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => {
      stop.abort();
    });
  }
  process.on("unhandledRejection", (error) => {
    // One forgotten promise must not take the owner's VMs' daemon down; it is a bug all the same.
    logger.error("A promise was rejected and nobody waited for it", { error });
  });
  await daemon.start();
  await stopped;
  logger.info("Daemon ends");
  await daemon.stop();
  await logger.close();
  lock.release();
}

function daemonFacts(logFile: string): DaemonFacts {
  const { version, id } = readBuild(join(import.meta.dirname, ".."));
  return { version, build: id, startedAt: new Date().toISOString(), logFile };
}
