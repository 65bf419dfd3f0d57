import { isBangerError, ReportedError } from "@banger/core/client";
import type { RequirementReport } from "@banger/host/client";
import { renderTable } from "../render/table.js";
import type { Cli } from "./command.js";
import { note } from "./operate.js";

/**
 * Does the work; when the host lacks packages, installs them with the user's consent and does it again.
 * @param agreed the user gave consent beforehand
 * @throws what `work` throws, among it the list of missing packages when there is no consent
 */
export async function withHostPackages<T>(
  cli: Cli,
  agreed: boolean,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isBangerError(error) || error.code !== "ERR_HOST_PACKAGES_MISSING")
      throw error;
    const report = await readRequirements(cli);
    if (report.missing.length === 0) return work();
    if (!(await installMissing(cli, report, agreed))) throw error;
    return work();
  }
}

export function readRequirements({ client }: Cli): Promise<RequirementReport> {
  return client.read<RequirementReport>("/v1/setup");
}

/**
 * Lists what is missing, asks unless `agreed`, and installs it with apt-get, whose output goes to stderr.
 * @returns false without consent, and where nobody can be asked
 * @throws ReportedError when apt-get fails
 */
export async function installMissing(
  cli: Cli,
  { missing, install }: RequirementReport,
  agreed: boolean,
): Promise<boolean> {
  const { io } = cli;
  const canAsk = io.stdin.isTTY === true && io.stderr.isTTY === true;
  if (!agreed && !canAsk) return false;
  note(cli, "This host lacks packages that banger needs:");
  note(
    cli,
    renderTable(
      missing.map(({ packageName, purpose }) => [`  ${packageName}`, purpose]),
    ),
  );
  if (!agreed) {
    const { confirm } = await import("@clack/prompts");
    const answer = await confirm({
      message: `Install them now with: ${install.join(" ")}`,
      initialValue: false,
      input: io.stdin,
      output: io.stderr,
    });
    if (answer !== true) return false;
  }
  const apt = install.indexOf("apt-get");
  if (apt >= 0) {
    // Lists may be missing or old; where they cannot be had the install says what it lacks.
    const update = [...install.slice(0, apt + 1), "update"];
    await runVisibly(cli, update);
  }
  const status = await runVisibly(cli, install);
  if (status !== 0) {
    throw new ReportedError({
      code: "ERR_SETUP_FAILED",
      kind: "failed",
      message: `${install.slice(0, apt + 1).join(" ")} ended with status ${status}`,
      hint: `Run it yourself: ${install.join(" ")}`,
    });
  }
  return true;
}

/** @returns exit status; 127 when there is no such program */
async function runVisibly(
  cli: Cli,
  [program = "", ...args]: readonly string[],
): Promise<number> {
  note(cli, cli.errorStyle.dim(`$ ${[program, ...args].join(" ")}`));
  const { spawn } = await import("node:child_process");
  const { io } = cli;
  const child = spawn(program, args, {
    // sudo asks for a password on the terminal itself.
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...io.env, DEBIAN_FRONTEND: "noninteractive" },
    signal: io.interrupted,
  });
  child.stdout.pipe(io.stderr, { end: false });
  child.stderr.pipe(io.stderr, { end: false });
  return new Promise((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (io.interrupted.aborted) reject(io.interrupted.reason as Error);
      else if (error.code === "ENOENT") {
        note(cli, `${program} is not there`);
        resolve(127);
      } else reject(error);
    });
    child.once("close", (code) => {
      resolve(code ?? 1);
    });
  });
}
