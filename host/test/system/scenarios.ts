// Runs in a mount namespace of its own, bundled: namespace.ts starts it with the name of a scenario and prints what it returns.
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type {
  Command,
  CommandResult,
  CommandRunner,
  Logger,
  Privileged,
} from "@banger/core";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { mapIds } from "../../src/images/map-ids.js";
import { RootNamespace } from "../../src/images/root-namespace.js";
import { runRequest } from "../../src/privileged/run-request.js";
import { installSystem } from "../../src/system/install-system.js";
import { systemLayout } from "../../src/system/layout.js";
import { planInstall } from "../../src/system/system-plan.js";
import { uninstallSystem } from "../../src/system/uninstall-system.js";

const [, , scenario = "", scratch = ""] = process.argv;
const { signal } = new AbortController();
const owner = "banger-test-owner";
/** Everything that an install may touch. */
const places = ["/etc", "/var/lib", "/var/cache", "/usr/local", "/run"];

/** Real programs, but for systemd: what it is told is noted, and a service that it starts listens. */
class SystemdStandIn implements CommandRunner {
  readonly told: string[] = [];
  readonly #real = new ExecaCommandRunner();
  readonly #servers = new Map<string, Server>();

  find(program: string): Promise<string | undefined> {
    return this.#real.find(program);
  }

  async run(command: Command): Promise<CommandResult> {
    if (command.file !== "systemctl") return this.#real.run(command);
    const [verb = "", ...rest] = command.args.slice(1);
    this.told.push([verb, ...rest].join(" "));
    const unit = rest.at(-1) ?? "";
    const isRoot = unit === systemLayout.helperUnit;
    if (verb === "restart") await this.#listen(isRoot);
    if (verb === "disable") this.#servers.get(socketOf(isRoot))?.close();
    const file = join(systemLayout.unitDirectory, unit);
    const state = existsSync(file) ? "loaded" : "not-found";
    const stdout = `LoadState=${state}\nActiveState=active\n`;
    return { exitCode: 0, stdout, stderr: "" };
  }

  async #listen(isRoot: boolean): Promise<void> {
    const path = socketOf(isRoot);
    if (this.#servers.get(path)?.listening) return;
    mkdirSync(dirname(path), { recursive: true });
    const server = createServer((socket) => socket.destroy());
    this.#servers.set(path, server);
    server.unref();
    await new Promise<void>((resolve) => server.listen(path, resolve));
  }
}

function socketOf(isRoot: boolean): string {
  return isRoot
    ? systemLayout.helperSocket
    : `${systemLayout.runDirectory}/bangerd.sock`;
}

class KilledError extends Error {}

/** Throws before a step, as nothing is undone then: what is there is what a kill would leave. */
function killBefore(step: number): (what: string) => void {
  let steps = 0;
  return () => {
    if (steps++ === step) throw new KilledError();
  };
}

function mountPrivate(): void {
  const mount = (...args: readonly string[]): void => {
    execFileSync("mount", args);
  };
  mount("-t", "tmpfs", "tmpfs", scratch);
  for (const place of places.filter((each) => each !== "/run")) {
    const [upper, work] = ["upper", "work"].map((name) =>
      join(scratch, place, name),
    );
    mkdirSync(upper ?? "", { recursive: true });
    mkdirSync(work ?? "");
    const options = `lowerdir=${place},upperdir=${upper ?? ""},workdir=${work ?? ""}`;
    mount("-t", "overlay", "overlay", "-o", options, place);
    execFileSync("chmod", ["--reference", "/usr", place]);
  }
  mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run");
  mkdirSync(systemLayout.systemdMark, { recursive: true });
  execFileSync("useradd", ["--no-create-home", "--uid", "4321", owner]);
}

/** A program of three packages, one of them a plugin, one nested because another version is at the top. */
function makeProgram(): string {
  const tree = join(scratch, "tree");
  const add = (
    path: string,
    manifest: Readonly<Record<string, unknown>>,
    files: Readonly<Record<string, string>> = {},
  ): void => {
    for (const [name, text] of Object.entries({
      "package.json": JSON.stringify(manifest),
      ...files,
    })) {
      const file = join(tree, path, name);
      mkdirSync(dirname(file), { recursive: true });
      // Others may write the source: the copy must be root's alone all the same.
      writeFileSync(file, text);
      chmodSync(file, name.endsWith(".cjs") ? 0o777 : 0o666);
    }
  };
  const dependencies = { "@banger/plugin-x": "1", lib: "1" };
  add(
    "cli",
    { name: "@banger/cli", files: ["dist", "!dist/**/*.map"], dependencies },
    {
      "dist/banger-start.cjs": "console.log('[]');",
      "dist/banger.js.map": "left out",
      "src/main.ts": "left out",
    },
  );
  add("plugins/x", {
    ...{ name: "@banger/plugin-x", banger: { kind: "plugin" } },
    dependencies: { lib: "2" },
  });
  add("plugins/x/node_modules/lib", { name: "lib", version: "2" });
  add("node_modules/lib", { name: "lib", version: "1" });
  mkdirSync(join(tree, "node_modules/@banger"), { recursive: true });
  symlinkSync("../../cli", join(tree, "node_modules/@banger/cli"));
  symlinkSync("../../plugins/x", join(tree, "node_modules/@banger/plugin-x"));
  return join(tree, "cli");
}

/** Type, mode, owner, size and target of everything, by path. */
function snapshot(
  roots: readonly string[] = places,
): Readonly<Record<string, string>> {
  const listed = execFileSync(
    "find",
    [...roots, "-printf", "%p\\t%y %#m %U:%G %l\\t%s\\n"],
    { encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  const rows = listed.split("\n").filter(Boolean);
  return Object.fromEntries(
    rows.map((row) => {
      const [path = "", what = "", size = ""] = row.split("\t");
      return [path, what.startsWith("d") ? what : `${what} ${size}`];
    }),
  );
}

function differences(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): readonly string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap(
    (path) =>
      before[path] === after[path]
        ? []
        : [`${path}: ${before[path] ?? "-"} -> ${after[path] ?? "-"}`],
  );
}

const commands = new SystemdStandIn();
const removedTraces: number[] = [];

async function install(
  onStep: (what: string) => void = () => undefined,
  name: string = owner,
): Promise<void> {
  const request = {
    ...{ owner: name, plugins: [], version: "1.0.0", build: "abcdefabcdef" },
    ...{ packageDirectory: packageDirectory, node: process.execPath },
  };
  const plan = await planInstall(request, commands, signal);
  await installSystem(plan, { commands, signal, onStep });
}

function uninstall(
  purge: boolean,
  onStep: (what: string) => void = () => undefined,
): ReturnType<typeof uninstallSystem> {
  const removeTraces = ({
    owner: { uid },
  }: {
    owner: { uid: number };
  }): Promise<void> => {
    removedTraces.push(uid);
    return Promise.resolve();
  };
  return uninstallSystem({ purge, removeTraces }, { commands, signal, onStep });
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return "none";
  } catch (error) {
    const { code, details, message } = error as {
      code?: string;
      details?: unknown;
      message: string;
    };
    return { code, details, message };
  }
}

/** Runs programs as the daemon's unit does: as the owner, and nothing can gain rights. */
class AsOwner implements CommandRunner {
  readonly #real = new ExecaCommandRunner();

  find(program: string): Promise<string | undefined> {
    return this.#real.find(program);
  }

  run({ file, args, ...rest }: Command): Promise<CommandResult> {
    const rights = [
      ...["--reuid=4321", "--regid=4321", "--clear-groups"],
      ...["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"],
    ];
    return this.#real.run({
      ...rest,
      ...{ file: "setpriv", args: [...rights, "--", file, ...args] },
    });
  }
}

const helper = {
  kind: "helper",
  request: (request, input, caller) =>
    runRequest(
      request,
      input,
      {
        install: {
          owner: { uid: 4321, gid: 4321 },
          ...{ stateDirectory: "/state", runDirectory: "/run", tag: "0" },
        },
        commands: new ExecaCommandRunner(),
        logger: {} as Logger,
      },
      caller,
    ),
} satisfies Pick<Privileged, "kind" | "request">;

const ours = [
  ...[systemLayout.recordDirectory, systemLayout.programsDirectory],
  ...[systemLayout.command, systemLayout.dataDirectory],
  ...[systemLayout.cacheDirectory],
  ...[systemLayout.helperUnit, systemLayout.daemonUnit].map((unit) =>
    join(systemLayout.unitDirectory, unit),
  ),
];

const scenarios: Readonly<Record<string, () => Promise<unknown>>> = {
  tree: async () => {
    await install();
    const record = JSON.parse(
      readFileSync(systemLayout.recordFile, "utf8"),
    ) as { program: string };
    return {
      record,
      tree: snapshot(ours),
      told: commands.told,
      config: readFileSync(
        `${systemLayout.configDirectory}/config.toml`,
        "utf8",
      ),
    };
  },
  twice: async () => {
    await install();
    const first = snapshot(ours);
    const state = `${systemLayout.stateDirectory}/state.db`;
    writeFileSync(state, "data");
    await install();
    const second = snapshot(ours);
    return { first, second, data: readFileSync(state, "utf8") };
  },
  "install killed": async () => {
    const before = snapshot();
    const left: Record<string, readonly string[]> = {};
    for (let step = 0; ; step += 1) {
      const outcome = await install(killBefore(step)).catch(
        (error: unknown) => {
          if (!(error instanceof KilledError)) throw error;
          return "killed";
        },
      );
      await uninstall(true);
      left[String(step)] = differences(before, snapshot());
      if (outcome !== "killed") return left;
    }
  },
  "uninstall killed": async () => {
    const before = snapshot();
    const left: Record<string, readonly string[]> = {};
    for (let step = 0; ; step += 1) {
      await install();
      const outcome = await uninstall(true, killBefore(step)).catch(
        (error: unknown) => {
          if (!(error instanceof KilledError)) throw error;
          return "killed";
        },
      );
      if (outcome === "killed") await uninstall(true);
      left[String(step)] = differences(before, snapshot());
      if (outcome !== "killed") return left;
    }
  },
  "no systemd": async () => {
    rmSync(systemLayout.systemdMark, { recursive: true });
    const before = snapshot();
    await install();
    const { runDirectory, helperDirectory } = systemLayout;
    const run = snapshot([runDirectory, helperDirectory]);
    rmSync(runDirectory, { recursive: true });
    await uninstall(true);
    return { run, told: commands.told, left: differences(before, snapshot()) };
  },
  "half written": async () => {
    const before = snapshot();
    mkdirSync(systemLayout.recordDirectory);
    writeFileSync(`${systemLayout.recordDirectory}/.install.json.ab.tmp`, "{");
    await uninstall(false);
    return differences(before, snapshot());
  },
  keep: async () => {
    const before = snapshot();
    await install();
    const report = await uninstall(false);
    return { report, left: differences(before, snapshot()), removedTraces };
  },
  foreign: async () => {
    const unit = join(systemLayout.unitDirectory, systemLayout.daemonUnit);
    writeFileSync(systemLayout.command, "#!/bin/sh\n");
    writeFileSync(unit, "[Service]\n");
    mkdirSync(systemLayout.programsDirectory);
    const before = snapshot();
    const error = await codeOf(install());
    return { error, changed: differences(before, snapshot()) };
  },
  "other owner": async () => {
    await install();
    execFileSync("useradd", ["--no-create-home", "banger-test-other"]);
    const other = await codeOf(install(undefined, "banger-test-other"));
    await uninstall(false);
    const data = await codeOf(install(undefined, "banger-test-other"));
    return { other, data };
  },
  "map ids": async () => {
    const directory = join(scratch, "owners");
    mkdirSync(directory);
    chmodSync(scratch, 0o755);
    execFileSync("chown", ["4321:4321", directory]);
    const namespace = new RootNamespace({
      ...{ commands: new AsOwner(), privileged: helper },
      hostFacts: { isRoot: false },
    });
    const lines: string[] = [];
    await namespace.run({
      file: "/bin/sh",
      args: [
        "-c",
        "id -u; id -g; grep -c . /proc/self/uid_map; touch f; chown 5:6 f; chmod 4755 f; mkdir m; unshare --mount mount -t tmpfs none m && echo mounted",
      ],
      cwd: directory,
      timeoutMs: 30_000,
      onLine: (line) => lines.push(line),
    });
    const [first] = readFileSync("/etc/subuid", "utf8")
      .split("\n")
      .flatMap((line) =>
        line.startsWith(`${owner}:`) ? [Number(line.split(":")[1])] : [],
      );
    const { uid, gid, mode } = statSync(join(directory, "f"));
    const map = (pid: number): Promise<unknown> =>
      codeOf(helper.request(mapIds, { pid }, signal));
    const foreign = spawn("setpriv", [
      ...["--reuid=65534", "--clear-groups", "--regid=65534"],
      ...["--", "unshare", "--user", "sleep", "60"],
    ]);
    const plain = spawn("setpriv", [
      ...["--reuid=4321", "--clear-groups", "--regid=4321", "sleep", "60"],
    ]);
    await sleep(500);
    const refused = [process.pid, foreign.pid ?? 0, plain.pid ?? 0, 4_194_304];
    const answers: unknown[] = [];
    for (const pid of refused) answers.push(await map(pid));
    foreign.kill("SIGKILL");
    plain.kill("SIGKILL");
    const offset = [uid - (first ?? 0), gid - (first ?? 0)];
    return { lines, offset, mode: mode & 0o7777, answers };
  },
  "open record": async () => {
    await install();
    chmodSync(systemLayout.recordFile, 0o666);
    return [await codeOf(install()), await codeOf(uninstall(true))];
  },
};

mountPrivate();
const packageDirectory = makeProgram();
process.stdout.write(JSON.stringify(await scenarios[scenario]?.()));
process.exit(0);
