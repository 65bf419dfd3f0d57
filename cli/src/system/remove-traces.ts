import { join } from "node:path";
import { JoinedError, type AnyPrivilegedRequest } from "@banger/core";
import {
  installOf,
  removeBridgeTraces,
  runRequest,
  systemLayout,
  type InstallRecord,
  type SystemContext,
} from "@banger/host";
import { WinstonLog } from "../logger.js";
import { loadPrivilegedPlugins } from "../root/load-privileged-plugins.js";

/** Ends the name of the request by which a plugin removes all that it may have left on the host; it takes an empty object. */
const uninstallVerb = ".uninstall";

/**
 * Removes what an install leaves on the host when its VMs are gone: what each plugin says that it leaves, and the bridges. Runs to the end.
 * @throws JoinedError of everything that failed
 */
export async function removeTraces(
  record: InstallRecord,
  { commands, signal, onStep }: SystemContext,
): Promise<void> {
  const install = installOf(record);
  const logger = WinstonLog.toStderr("warn");
  const context = { install, commands, logger };
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  };
  for (const request of await uninstallRequests(record, logger))
    await attempt(() => {
      onStep(`request ${request.name}`);
      return runRequest(request, {}, context, signal);
    });
  await attempt(() => removeBridgeTraces(context));
  if (failures.length > 0)
    throw new JoinedError("traces of VMs could not be removed", failures);
}

async function uninstallRequests(
  { plugins }: InstallRecord,
  logger: WinstonLog,
): Promise<readonly AnyPrivilegedRequest[]> {
  const { currentProgram, pluginsDirectory } = systemLayout;
  const from = [
    join(currentProgram, "node_modules/@banger/cli/package.json"),
    join(pluginsDirectory, "package.json"),
  ];
  const loaded = await loadPrivilegedPlugins(plugins, { from }, logger);
  return loaded
    .flatMap(({ privileged = [] }) => privileged)
    .filter(({ name }) => name.endsWith(uninstallVerb));
}
