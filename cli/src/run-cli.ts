import { CancelledError } from "@banger/core/client";
import { resolvePaths, type Paths } from "@banger/host/client";
import type { Build } from "./build-id.js";
import { ApiClient, type DaemonControl } from "./client/api-client.js";
import { InstallOutdatedError } from "./client/client-errors.js";
import { reportToShow } from "./client/error-report.js";
import { installedDaemon, ServiceDaemon } from "./client/service-daemon.js";
import { DaemonLauncher, slowEndText } from "./client/start-daemon.js";
import type { Arguments } from "./commands/arguments.js";
import type { Cli, CommandDefinition, Outcome } from "./commands/command.js";
import { parse } from "./commands/parse.js";
import { Interruption, type Io } from "./io.js";
import { renderError } from "./render/error.js";
import { renderJson } from "./render/json.js";
import { styleOf } from "./render/style.js";

/** What the command line needs besides its arguments. */
export interface CliSetup {
  readonly io: Io;
  readonly build: Build;
  /** node's arguments that run the daemon */
  readonly daemonArgs: readonly string[];
  /** the script that works on the system install; a program of its own, as it loads packages */
  readonly systemProgram: string;
}

/** Runs one command line. @returns exit status; prints every error */
export async function runCli(
  argv: readonly string[],
  setup: CliSetup,
): Promise<number> {
  const { io, build } = setup;
  if (argv.length === 1 && argv[0] === "--version") {
    io.stdout.write(`${build.version}\n`);
    return 0;
  }
  const wantsJson = beforeGuestCommand(argv).includes("--json");
  try {
    const cli = wire(setup, wantsJson);
    if (argv[0] === "--get-completions") {
      const { complete } = await import("./commands/complete.js");
      for (const line of await complete(argv.slice(1), cli))
        io.stdout.write(`${line}\n`);
      return 0;
    }
    const parsed = await parse(argv, build.version);
    if (parsed.kind === "print") {
      io.stdout.write(`${parsed.text}\n`);
      return 0;
    }
    return await runCommand(parsed.command, parsed.args, cli, wantsJson);
  } catch (error) {
    return report(error, io, wantsJson, 1);
  }
}

async function runCommand(
  command: CommandDefinition,
  args: Arguments,
  cli: Cli,
  wantsJson: boolean,
): Promise<number> {
  const failureStatus = command.failureStatus?.(args) ?? 1;
  try {
    const outcome = await command.run(args, cli);
    print(outcome, cli.io, wantsJson);
    return outcome.error === undefined
      ? (outcome.exitCode ?? 0)
      : report(outcome.error, cli.io, wantsJson, failureStatus);
  } catch (error) {
    if (error instanceof Interruption && command.endsSilently)
      return error.exitCode;
    return report(error, cli.io, wantsJson, failureStatus);
  }
}

function wire(
  { io, build, daemonArgs, systemProgram }: CliSetup,
  wantsJson: boolean,
): Cli {
  const paths = resolvePaths(io.env);
  const socketPath = paths.daemonSocket;
  const control = controlOf(paths, daemonArgs, io, wantsJson);
  const { installedBuild } = paths;
  return {
    ...{ io, paths, build, systemProgram },
    client: new ApiClient({
      ...{ socketPath, control, build: build.id },
      ...(installedBuild === undefined || installedBuild === build.id
        ? {}
        : { outdated: new InstallOutdatedError(installedBuild, build.id) }),
    }),
    runningClient: new ApiClient({ socketPath }),
    get style() {
      return styleOf(io.stdout, io.env);
    },
    get errorStyle() {
      return styleOf(io.stderr, io.env);
    },
  };
}

/** How the daemon of this layout is brought about. */
function controlOf(
  paths: Paths,
  daemonArgs: readonly string[],
  io: Io,
  wantsJson: boolean,
): DaemonControl {
  const options = {
    onSlowEnd: (pid: number) => {
      if (!wantsJson) io.stderr.write(`${slowEndText(pid)}\n`);
    },
  };
  if (paths.service === "systemd") return new ServiceDaemon(paths, options);
  const program = { args: daemonArgs, env: io.env };
  return new DaemonLauncher(
    paths,
    // Whichever command line asks: helper and daemon are of one install.
    paths.service === "none" ? { ...program, ...installedDaemon } : program,
    options,
  );
}

function print({ json, text }: Outcome, io: Io, wantsJson: boolean): void {
  const output =
    wantsJson && json !== undefined ? renderJson(json, 2) : (text?.() ?? "");
  if (output !== "") io.stdout.write(`${output}\n`);
}

function report(
  error: unknown,
  io: Io,
  wantsJson: boolean,
  failureStatus: number,
): number {
  if (error instanceof Interruption) {
    if (error.isHeard) io.stderr.write(`${cancelled(wantsJson)}\n`);
    return error.exitCode;
  }
  const shown = reportToShow(error);
  const text = wantsJson
    ? renderJson(shown)
    : renderError(shown, styleOf(io.stderr, io.env));
  io.stderr.write(`${text}\n`);
  if (shown.kind === "usage") return 2;
  // Nothing ran, and nothing can until the host is set up: no guest's status to be told apart from.
  if (shown.code === "ERR_HOST_PACKAGES_MISSING") return 1;
  return shown.kind === "cancelled" ? 130 : failureStatus;
}

/** What the daemon has undone meanwhile is its business, so nothing is said about it. */
function cancelled(wantsJson: boolean): string {
  return wantsJson
    ? JSON.stringify(reportToShow(new CancelledError("the command")))
    : "cancelled";
}

function beforeGuestCommand(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return end < 0 ? argv : argv.slice(0, end);
}
