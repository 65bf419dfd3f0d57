import type { VmRecord } from "@banger/core/client";
import { reportToShow } from "../client/error-report.js";
import { renderDuration } from "../render/duration.js";
import { renderWarning } from "../render/error.js";
import { renderJson } from "../render/json.js";
import { printableLine } from "../render/printable.js";
import { renderSpec } from "../render/vm.js";
import { hasTerminal, runSession } from "../terminal/session.js";
import type { Repository } from "../workspace/repository.js";
import type { Arguments } from "./arguments.js";
import {
  ownFailureStatus,
  type Cli,
  type CommandDefinition,
  type Outcome,
} from "./command.js";
import { deleteEphemeral } from "./delete-ephemeral.js";
import { guestCommandHint, looksLikeProgram } from "./guest-command-hint.js";
import { withHostPackages } from "./host-packages.js";
import { note, operate } from "./operate.js";
import { ttyOption, wantsTty } from "./tty-option.js";
import { UsageError } from "./usage-error.js";
import { createBody, createOptions } from "./vm-options.js";

export const vmRun: CommandDefinition = {
  words: ["vm", "run"],
  summary: "Start a fresh VM and use it: a shell, or a command after --",
  positionals: [
    {
      name: "path",
      describe:
        "copy the tracked files of the git repository around this directory to /root/<repository>, the repository's root, and start there, also when this is a sub-directory",
      required: false,
      completes: "path",
    },
  ],
  guestCommand: "optional",
  options: {
    ...createOptions,
    rm: { type: "boolean", describe: "delete the VM at the end" },
    detach: {
      type: "boolean",
      alias: "d",
      describe:
        "leave the VM running; prints its name, or with --json its record",
    },
    ...ttyOption,
  },
  examples: [
    ["vm run", "a shell in a fresh VM"],
    ["vm run ./repo -- make test", "run a command in a copy of the repository"],
    ["vm run --rm -- uname -a", "run a command and leave nothing behind"],
    ["vm run -d --name web --memory 2G --nat", "start a VM and go on"],
  ],
  failureStatus: (args) => (args.guestCommand ? ownFailureStatus : 1),
  run,
};

async function run(args: Arguments, cli: Cli): Promise<Outcome> {
  const { io, client } = cli;
  const argv = args.guestCommand;
  const detach = args.flag("detach");
  const ephemeral = args.flag("rm");
  const quiet = args.flag("json");
  if (detach && ephemeral) throw conflict("--detach", "--rm");
  if (detach && argv) throw conflict("--detach", "a command after --");
  if (detach && args.flag("tty")) throw conflict("--detach", "--tty");
  const tty = wantsTty(args, io);
  const path = args.string("path");
  const body = { ...createBody(args), ...(ephemeral ? { ephemeral } : {}) };
  const repository =
    path === undefined ? undefined : await look(path, args, cli);
  const { value: vm, elapsedMs } = await withHostPackages(
    cli,
    args.flag("yes"),
    () =>
      operate<VmRecord>(cli, { method: "POST", path: "/v1/vms", body, quiet }),
  );
  const inform = (text: string): void => {
    if (!quiet) note(cli, text);
  };
  inform(`spec: ${renderSpec(vm.spec, vm.runtime.accel)}`);
  inform(`ready in ${renderDuration(elapsedMs)}: ${vm.name}`);
  let failed = true;
  try {
    const cwd = repository
      ? await copy(repository, vm, cli, inform)
      : undefined;
    if (detach) {
      failed = false;
      return { json: vm, text: () => vm.name };
    }
    const exitCode = await runSession(client, io, {
      vm: vm.id,
      ...(argv ? { argv } : {}),
      ...(cwd === undefined ? {} : { cwd }),
      terminal: tty || (argv === undefined && hasTerminal(io)),
    });
    failed = false;
    if (quiet)
      note(
        cli,
        renderJson({
          vm,
          exitCode,
          ...(ephemeral ? {} : { note: stillRuns(vm) }),
        }),
      );
    return { exitCode };
  } finally {
    if (ephemeral) await deleteOrWarn(vm, cli, quiet);
    else if (failed && quiet)
      note(cli, renderJson({ vm, note: stillRuns(vm) }));
    else if (failed || !detach) inform(cli.errorStyle.dim(stillRuns(vm)));
  }
}

function stillRuns({ name }: VmRecord): string {
  return `${name} still runs; delete it with: banger vm delete ${name}`;
}

/** What the guest came to, or the first error, is what the command is about: a VM that stays is told beside it. */
async function deleteOrWarn(
  vm: VmRecord,
  cli: Cli,
  quiet: boolean,
): Promise<void> {
  try {
    await deleteEphemeral(cli, vm);
  } catch (error) {
    const warning = reportToShow(error);
    if (quiet) {
      note(cli, renderJson({ vm, warning }));
      return;
    }
    const what = `${vm.name} is not deleted`;
    note(cli, renderWarning(what, warning, cli.errorStyle));
    note(cli, `delete it with: banger vm delete ${vm.name}`);
  }
}

function conflict(one: string, other: string): UsageError {
  return new UsageError(`${one} and ${other} exclude each other`, {
    hint: "See: banger vm run --help",
  });
}

async function look(
  path: string,
  args: Arguments,
  { io }: Cli,
): Promise<Repository> {
  const { inspectRepository, PathNotFoundError } =
    await import("../workspace/repository.js");
  try {
    return await inspectRepository(path, io.cwd, io.interrupted);
  } catch (error) {
    if (!(error instanceof PathNotFoundError) || !looksLikeProgram(path))
      throw error;
    const hint = guestCommandHint(vmRun, args.argv, 0);
    throw hint === undefined
      ? error
      : new PathNotFoundError(path, hint, error.cause);
  }
}

async function copy(
  repository: Repository,
  vm: VmRecord,
  { client, io }: Cli,
  inform: (text: string) => void,
): Promise<string> {
  const { copyRepository } = await import("../workspace/copy-repository.js");
  const started = performance.now();
  const target = await copyRepository(
    client,
    vm.id,
    repository,
    io.interrupted,
  );
  const took = renderDuration(performance.now() - started);
  inform(`${repository.files.length} files copied to ${target} in ${took}`);
  const { untracked, submodules, outside } = repository;
  if (untracked > 0) {
    const files = untracked === 1 ? "1 file is" : `${untracked} files are`;
    inform(`${files} untracked and not in the copy; git add adds to it`);
  }
  if (submodules.length > 0)
    inform(`submodules are not in the copy: ${someOf(submodules)}`);
  if (outside.length > 0)
    inform(
      `tracked files outside the repository, such as behind a symlink, are not in the copy: ${someOf(outside)}`,
    );
  return target;
}

/** The first paths, which somebody else may have named. */
function someOf(paths: readonly string[]): string {
  const shown = paths.slice(0, 10).map((path) => printableLine(path));
  const more = paths.length - shown.length;
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(", ");
}
