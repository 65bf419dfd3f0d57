import { dirname, join } from "node:path";
import type { Logger } from "@banger/core";
import {
  collectRequests,
  ExecaCommandRunner,
  HelperServer,
  hostRequests,
  installOf,
  NotInstalledError,
  NotRootError,
  pingRequest,
  readInstallRecord,
  removeHelperPid,
  requireRootOwnedTree,
  systemLayout,
  writeHelperPid,
  type InstallRecord,
  type PrivilegedRequests,
} from "@banger/host/helper";
import { readBuild } from "../build-id.js";
import { WinstonLog } from "../logger.js";
import { loadPrivilegedPlugins } from "./load-privileged-plugins.js";

/** How long requests that are carried out may take to end by themselves, ms; systemd gives a unit 90 s. */
const endGraceMs = 10_000;

/** Where root's programs are, whatever the environment says. */
const programPath = "/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Runs the root helper of the host's system install until a signal ends it. What it has set up, and VMs above all, stays.
 * @throws NotRootError, NotInstalledError, InstallRecordError, NotRootOwnedError, HelperRunningError, PrivilegedSocketError, PeerUnknownError
 */
export async function runRootHelper(): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new NotRootError("banger system run-helper");
  process.env["PATH"] = programPath;
  process.umask(0o022);
  process.chdir("/");
  const record = await readInstallRecord();
  if (!record) throw new NotInstalledError();
  // Too late for what has been loaded by now, and in time for all that comes: a tree that others can write is not served from.
  await requireRootOwnedTree(programDirectory());
  await requireRootOwnedTree(process.execPath);

  const logger = WinstonLog.toStderr(process.env["BANGER_LOG_LEVEL"] ?? "info");
  const ended = untilSignal();
  process.on("unhandledRejection", (error) => {
    logger.error("A promise was rejected and nobody waited for it", { error });
  });
  const server = new HelperServer({
    socketPath: systemLayout.helperSocket,
    install: installOf(record),
    requests: await requestsOf(record, logger),
    commands: new ExecaCommandRunner(),
    logger,
  });
  await server.listen();
  await writeHelperPid();
  const owner = record.owner.uid;
  const { pid } = process;
  logger.info("Root helper answers", { pid, owner, ...ownBuild() });
  logger.info("Root helper ends", { signal: await ended });
  await server.close(endGraceMs);
  await removeHelperPid();
  await logger.close();
}

async function requestsOf(
  { vmm, plugins }: InstallRecord,
  logger: Logger,
): Promise<PrivilegedRequests> {
  return collectRequests({
    host: [
      pingRequest(ownBuild()),
      ...hostRequests({ ...vmm, jailBase: systemLayout.jailDirectory }),
    ],
    plugins: await loadPrivilegedPlugins(
      plugins,
      {
        from: [
          import.meta.filename,
          join(systemLayout.pluginsDirectory, "package.json"),
        ],
      },
      logger,
    ),
  });
}

function ownBuild(): { readonly version: string; readonly build: string } {
  const { version, id: build } = readBuild(join(import.meta.dirname, ".."));
  return { version, build };
}

/** The directory of all packages of this program: that of their `node_modules`, or of a source tree. */
function programDirectory(): string {
  const own = join(import.meta.dirname, "../..");
  const installed = "/node_modules/@banger/cli";
  return own.endsWith(installed)
    ? own.slice(0, -installed.length)
    : dirname(own);
}

function untilSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
      process.on(signal, () => {
        resolve(signal);
      });
  });
}
