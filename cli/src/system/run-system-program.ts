import { join } from "node:path";
import {
  ensureRunDirectories,
  ExecaCommandRunner,
  installSystem,
  NotInstalledError,
  NotRootError,
  planInstall,
  readInstallRecord,
  readSystemStatus,
  restartServices,
  systemRequestSchema,
  uninstallSystem,
  type InstallPlan,
  type InstallRecord,
  type SystemContext,
  type SystemRequest,
} from "@banger/host";
import { readBuild } from "../build-id.js";
import { removeTraces } from "./remove-traces.js";

/**
 * Does what `banger system <verb>` asks for.
 * @param argv the request as JSON, see {@link systemRequestSchema}
 * @returns what the command prints, as data
 */
export async function runSystemProgram(
  argv: readonly string[],
): Promise<unknown> {
  const request = systemRequestSchema.parse(JSON.parse(argv[0] ?? ""));
  // What root makes has the mode that it is given, whatever the caller's habits.
  process.umask(0o022);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      stop.abort(new Error(`ended by ${signal}`));
    });
  const context: SystemContext = {
    commands: new ExecaCommandRunner(),
    signal: stop.signal,
    onStep: (what) => process.stderr.write(`${what}\n`),
  };
  if (request.verb === "status")
    return (await readSystemStatus(context.commands, stop.signal)) ?? null;
  if (process.getuid?.() !== 0)
    throw new NotRootError(
      `banger system ${request.verb === "plan" ? "install" : request.verb}`,
    );
  return runAsRoot(request, context);
}

async function runAsRoot(
  request: Exclude<SystemRequest, { verb: "status" }>,
  context: SystemContext,
): Promise<unknown> {
  switch (request.verb) {
    case "plan":
      return summary(await plan(request, context));
    case "install": {
      const planned = await plan(request, context);
      await installSystem(planned, context);
      return summary(planned);
    }
    case "restart": {
      const record = await requireRecord();
      await restartServices(record, context);
      return { service: record.service };
    }
    case "run-helper":
      await ensureRunDirectories(await requireRecord());
      return {};
    case "uninstall":
      return uninstallSystem(
        {
          purge: request.purge,
          removeTraces: (record) => removeTraces(record, context),
        },
        context,
      );
  }
}

function plan(
  request: Extract<SystemRequest, { verb: "plan" | "install" }>,
  { commands, signal }: SystemContext,
): Promise<InstallPlan> {
  const { version, id: build } = readBuild(join(import.meta.dirname, ".."));
  return planInstall(
    {
      ...{ version, build, plugins: request.plugins },
      owner: request.owner ?? process.env["SUDO_USER"],
      packageDirectory: join(import.meta.dirname, "../.."),
      node: process.execPath,
    },
    commands,
    signal,
  );
}

/** What a person decides on. */
function summary({
  record,
  previous,
  copiesNode,
  userVms,
}: InstallPlan): unknown {
  return { record, isUpgrade: previous !== undefined, copiesNode, userVms };
}

async function requireRecord(): Promise<InstallRecord> {
  const record = await readInstallRecord();
  if (!record) throw new NotInstalledError();
  return record;
}
