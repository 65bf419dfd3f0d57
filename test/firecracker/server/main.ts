import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  contractFiles,
  folderVariable,
  type FirecrackerSettings,
} from "../settings.js";
import { ApiServer } from "./api-server.js";
import {
  ArgumentError,
  instanceIdProblem,
  type Arguments,
} from "./arguments.js";
import { RequestCheck, type ApiDescription } from "./description.js";
import { FaultPlan } from "./fault-plan.js";
import { Log } from "./logger.js";
import { MicroVm } from "./micro-vm.js";
import { parseServerArguments } from "./server-arguments.js";

/** Exit statuses of Firecracker's. */
const exitStatus = { generic: 1, badConfiguration: 152, arguments: 153 };

const folder =
  process.env[folderVariable] ?? dirname(realpathSync(process.argv[1] ?? ""));
const settings = readJson(contractFiles.settings) as FirecrackerSettings;
const version = settings.version ?? "1.17.0";

void main();

async function main(): Promise<void> {
  let given: Arguments;
  try {
    given = parseServerArguments(process.argv.slice(2), version);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    fail(
      `Arguments parsing error: ${error.message} \n\nFor more information try --help.`,
      exitStatus.arguments,
    );
  }
  if (given.has("version") || given.has("help")) {
    process.stdout.write(`Firecracker v${version}\n\n`);
    return;
  }
  if (given.has("snapshot-version")) {
    process.stdout.write("v1.0.0\n");
    return;
  }
  const id = given.value("id") ?? "";
  const problem = instanceIdProblem(id);
  if (problem !== undefined)
    fail(`Invalid instance ID: ${problem}`, exitStatus.generic);
  for (const name of ["config-file", "no-api", "metadata", "boot-timer"])
    if (given.has(name))
      fail(
        `--${name} is not served by the contract server`,
        exitStatus.generic,
      );
  await serve(given, id);
}

async function serve(given: Arguments, id: string): Promise<void> {
  const log = new Log(id);
  configureLog(log, given);
  log.line(`Running Firecracker v${version}`);
  // A reader of the console that has gone away ends no guest.
  process.stdout.on("error", () => undefined);
  const vm = new MicroVm({
    id,
    version,
    guest: settings.guest ?? "qemu",
    guestOptions: {
      program: settings.qemuProgram ?? "qemu-system-x86_64",
      pci: given.has("enable-pci"),
      kernelArguments: settings.kernelArguments ?? "",
    },
    vsockSilentMs: settings.vsockSilentMs ?? 0,
    log,
    end: (status) => {
      log.line(
        `Firecracker exiting ${status === 0 ? "successfully" : "with error"}. exit_code=${String(status)}`,
      );
      process.exit(status);
    },
  });
  const metrics = given.value("metrics-path");
  if (metrics !== undefined) vm.putMetrics({ metrics_path: metrics });
  const server = new ApiServer({
    id,
    check: new RequestCheck(
      readJson(contractFiles.description) as ApiDescription,
      version,
    ),
    vm,
    faults: new FaultPlan(settings.faults ?? []),
    log,
    payloadLimit: Number(given.value("http-api-max-payload-size")),
    delayMs: settings.delayMs ?? 0,
    record: join(folder, contractFiles.requests),
  });
  await pause(settings.startDelayMs ?? 0);
  const socket = given.value("api-sock") ?? "";
  try {
    // Before it is bound, as binding would follow a dangling link.
    if (existsSync(socket)) throw new Error("there is a file");
    await server.listen(socket);
  } catch {
    fail(
      `RunWithApiError error: Failed to open the API socket at: ${socket}. Check that it is not already used.`,
      exitStatus.generic,
    );
  }
  log.line("API server started.", "info", "fc_api");
}

function configureLog(log: Log, given: Arguments): void {
  const level = given.value("level");
  const path = given.value("log-path");
  try {
    log.configure({
      ...(level === undefined ? {} : { level }),
      ...(given.has("show-level") && { show_level: true }),
    });
  } catch {
    fail(
      `Invalid value for logger level: ${level ?? ""}.Possible values: [Error, Warning, Info, Debug]`,
      exitStatus.badConfiguration,
    );
  }
  try {
    if (path !== undefined) log.configure({ log_path: path });
  } catch (error) {
    fail(
      `Could not initialize logger: ${(error as Error).message}`,
      exitStatus.generic,
    );
  }
}

function fail(message: string, status: number): never {
  process.stderr.write(`Error: ${message}\n`);
  process.exit(status);
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(join(folder, file), "utf8"));
}
