import { readFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { ArgumentError } from "../server/arguments.js";
import { shellWord } from "../server/guest-arguments.js";
import {
  contractFiles,
  folderVariable,
  type FirecrackerSettings,
} from "../settings.js";
import { applyCgroups } from "./cgroups.js";
import { JailError } from "./jail-error.js";
import {
  checkJailRequest,
  parseJailerArguments,
  type JailRequest,
} from "./jail-request.js";
import { makeJail } from "./make-jail.js";

/** What the caller sees of this program; its stdout is the shell's. */
const shownOutput = 3;

const folder = dirname(process.argv[1] ?? "");
const settings = JSON.parse(
  readFileSync(join(folder, contractFiles.settings), "utf8"),
) as FirecrackerSettings;

try {
  process.stdout.write(prepare(process.argv.slice(2)));
} catch (error) {
  if (error instanceof ArgumentError)
    writeSync(
      shownOutput,
      `Arguments parsing error: ${error.message} \n\nFor more information try --help.\n`,
    );
  else if (error instanceof JailError)
    process.stderr.write(`Error: ${error.message}\n`);
  else throw error;
  process.exitCode = 1;
}

/** @returns shell commands to go on with */
function prepare(words: readonly string[]): string {
  const given = parseJailerArguments(words);
  if (given.has("version") || given.has("help")) {
    writeSync(shownOutput, `Jailer v${settings.version ?? "1.17.0"}\n\n`);
    return "exit 0\n";
  }
  const request = checkJailRequest(given);
  const pid = Number(process.env["JAILER_PID"]);
  applyCgroups(request.cgroups, request.joinCgroup, pid);
  makeJail(request, pid);
  return enterJail(request);
}

/** Every program here becomes the next, so the pid stays. */
function enterJail(request: JailRequest): string {
  const { root, networkNamespace, limits } = request;
  const mounts = [
    // What is mounted in here is nobody else's and goes with the process.
    `mount --bind ${shellWord(root)} ${shellWord(root)}`,
    `cd ${shellWord(root)}`,
    "mount --rbind /usr usr",
    "mount --rbind /proc proc",
    `mount --bind ${shellWord(folder)} .contract-server`,
    `exec ${serverCommand(request).map(shellWord).join(" ")}`,
  ];
  const command = [
    ...(networkNamespace === undefined
      ? []
      : ["nsenter", `--net=${networkNamespace}`]),
    ...["prlimit", ...limits],
    ...["unshare", "--mount", "--propagation", "private"],
    ...["sh", "-e", "-c", mounts.join("\n")],
  ];
  return `exec ${command.map(shellWord).join(" ")}\n`;
}

function serverCommand(request: JailRequest): string[] {
  const { root, uid, gid, execName, id, rest } = request;
  const drops = settings.jailerDropsPrivileges ?? true;
  return [
    ...["chroot", ...(drops ? [`--userspec=${uid}:${gid}`, "--groups="] : [])],
    ...[root, "/usr/bin/env", "-i", `${folderVariable}=/.contract-server`],
    // The programs that the server starts are found by name.
    ...["PATH=/usr/sbin:/usr/bin", `/${execName}`],
    ...["--id", id, "--start-time-us", String(Date.now() * 1000)],
    ...["--start-time-cpu-us", "0", "--parent-cpu-time-us", "0", ...rest],
  ];
}
