import { BangerError } from "@banger/core/client";
import {
  nodeFlags,
  programFiles,
  systemLayout,
  type InstallRecord,
  type SystemStatus,
  type UninstallReport,
} from "@banger/host/client";
import {
  renderInstalled,
  renderInstallPlan,
  renderSystemStatus,
  renderUninstalled,
} from "../render/system.js";
import { askYesOrNo } from "../terminal/ask.js";
import {
  jsonOption,
  type Cli,
  type CommandDefinition,
  type OptionDefinition,
} from "./command.js";
import { note } from "./operate.js";
import { runSystemProgram } from "./system-program.js";
import { UsageError } from "./usage-error.js";

/** What an install will make, or has made. */
export interface InstallSummary {
  readonly record: InstallRecord;
  readonly isUpgrade: boolean;
  readonly copiesNode: boolean;
  readonly userVms: number;
}

const yesOption = {
  yes: { type: "boolean", alias: "y", describe: "do it without asking" },
} satisfies Record<string, OptionDefinition>;

export const systemInstall: CommandDefinition = {
  words: ["system", "install"],
  summary: "Install banger with a root helper, or bring the install up to date",
  options: {
    owner: {
      type: "string",
      describe: "user whose VMs these are; without it the one who runs sudo",
    },
    plugin: {
      type: "strings",
      describe: `a package in ${systemLayout.pluginsDirectory} whose requests the helper carries out`,
    },
    ...yesOption,
    ...jsonOption,
  },
  examples: [
    ["system install", "run with sudo: for the user who runs it"],
    ["system install --owner ann --yes", "for ann, without asking"],
  ],
  run: async (args, cli) => {
    const owner = args.string("owner");
    const request = {
      ...(owner === undefined ? {} : { owner }),
      plugins: args.strings("plugin"),
    };
    const quiet = args.flag("json");
    const plan = await runSystemProgram<InstallSummary>(
      cli,
      { verb: "plan", ...request },
      quiet,
    );
    if (!quiet) note(cli, renderInstallPlan(plan, cli.errorStyle));
    if (!args.flag("yes")) await agree(cli, "Install?");
    const done = await runSystemProgram<InstallSummary>(
      cli,
      { verb: "install", ...request },
      quiet,
    );
    return { json: done, text: () => renderInstalled(done) };
  },
};

export const systemStatus: CommandDefinition = {
  words: ["system", "status"],
  summary: "Show the system install, and whether helper and daemon answer",
  options: jsonOption,
  examples: [["system status", "owner, build, services, paths"]],
  run: async (_args, cli) => {
    const status = await runSystemProgram<SystemStatus | null>(
      cli,
      { verb: "status" },
      true,
    );
    if (status === null)
      return {
        json: { installed: false },
        text: () =>
          "there is no system install; make one with: sudo banger system install",
      };
    const { build } = cli;
    return {
      json: { installed: true, ...status, command: build },
      text: () => renderSystemStatus(status, build, cli.style),
    };
  },
};

export const systemRestart: CommandDefinition = {
  words: ["system", "restart"],
  summary: "Start helper and daemon anew; VMs run on",
  options: jsonOption,
  examples: [["system restart", "run with sudo"]],
  run: async (args, cli) => {
    const done = await runSystemProgram<{ service: string }>(
      cli,
      { verb: "restart" },
      args.flag("json"),
    );
    return {
      json: done,
      text: () =>
        done.service === "systemd"
          ? "helper and daemon answer"
          : "the daemon has ended; start the helper anew where it runs: sudo banger system run-helper",
    };
  },
};

export const systemUninstall: CommandDefinition = {
  words: ["system", "uninstall"],
  summary: "Stop all VMs and remove the system install",
  options: {
    purge: {
      type: "boolean",
      describe: "its data too: VMs, images, configuration",
    },
    ...yesOption,
    ...jsonOption,
  },
  examples: [
    ["system uninstall", "run with sudo: keeps VMs and images"],
    ["system uninstall --purge --yes", "leaves nothing, without asking"],
  ],
  run: async (args, cli) => {
    const purge = args.flag("purge");
    if (!args.flag("yes"))
      await agree(
        cli,
        purge
          ? "Stop all VMs, and remove the install with its VMs, images and configuration?"
          : "Stop all VMs and remove the install?",
      );
    const report = await runSystemProgram<UninstallReport>(
      cli,
      { verb: "uninstall", purge },
      args.flag("json"),
    );
    return { json: report, text: () => renderUninstalled(report) };
  },
};

export const systemRunHelper: CommandDefinition = {
  words: ["system", "run-helper"],
  summary: "Run the root helper in the foreground, where there is no systemd",
  examples: [["system run-helper", "run with sudo, until Ctrl-C"]],
  endsSilently: true,
  run: async (_args, cli) => {
    await runSystemProgram(cli, { verb: "run-helper" }, true);
    const { currentProgram } = systemLayout;
    const { spawn } = await import("node:child_process");
    const child = spawn(
      `${currentProgram}/${programFiles.node}`,
      [...nodeFlags, `${currentProgram}/${programFiles.helper}`],
      { stdio: ["ignore", "inherit", "inherit"], env: {}, cwd: "/" },
    );
    cli.io.interrupted.addEventListener("abort", () => {
      child.kill("SIGTERM");
    });
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        resolve(code ?? 1);
      });
    });
    return { exitCode };
  },
};

/** Nobody was asked, or said no: nothing was done. */
class NotAgreedError extends BangerError {
  override readonly code = "ERR_NOT_AGREED";
  override readonly kind = "cancelled";
}

/** @throws UsageError where nobody can be asked, {@link NotAgreedError} */
async function agree(cli: Cli, question: string): Promise<void> {
  const { io } = cli;
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true)
    throw new UsageError("there is no terminal to ask on", {
      hint: "Add --yes to do it without asking",
    });
  if (!(await askYesOrNo(io, `${question} [y/N] `)))
    throw new NotAgreedError("nothing was changed");
}
