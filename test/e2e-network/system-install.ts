import {
  execFileSync,
  spawn,
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
} from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerCli, type RunOptions } from "../banger-cli.js";
import type { InstallPlace } from "../install-place.js";
import { eventually, repository } from "../install.js";
import { mergeTables } from "../merge-tables.js";
import { runVariables } from "../run-variables.js";
import { PrivateLayers } from "./private-layers.js";

const owner = { name: "sandbox", id: 4711, home: "/var/lib/sandbox-home" };
const state = "/var/lib/banger/state";
const command = "/usr/local/bin/banger";
const helperSocket = "/run/banger-root/helper.sock";

/** A system install without systemd, on layers of its own: an owner without rights, and the root helper, which a test starts and kills. */
export class SystemInstall extends BangerCli {
  readonly place: InstallPlace = {
    roots: [state, "/run/banger", "/var/cache/banger"],
    stateDirectory: state,
    runDirectory: "/run/banger",
    isDaemon: (args) =>
      args.some((arg) => arg.startsWith("/usr/local/lib/banger/")),
  };
  readonly #scratch: string;
  readonly #layers: PrivateLayers;
  #helper: ChildProcess | undefined;

  private constructor(scratch: string) {
    super();
    this.#scratch = scratch;
    this.#layers = new PrivateLayers(join(scratch, "layers"));
  }

  /** @param config the test's own; the settings of the run are added */
  static async make(
    config: string,
    imagesDirectory: string,
  ): Promise<SystemInstall> {
    const scratch = mkdtempSync(join(tmpdir(), "banger-system-"));
    const made = new SystemInstall(scratch);
    try {
      made.#layers.mount();
      addOwner();
      made.asRoot("system", "install", "--owner", owner.name, "--yes");
      giveToOwner(config, imagesDirectory);
      await made.startHelper();
    } catch (error) {
      await made.#end();
      throw error;
    }
    return made;
  }

  override start(
    args: readonly string[],
    { cwd = "/", env = {} }: RunOptions = {},
  ): ChildProcessWithoutNullStreams {
    const { id, home } = owner;
    const variables = { HOME: home, PATH: "/usr/bin:/bin", NO_COLOR: "1" };
    return spawn(
      "setpriv",
      [
        ...[`--reuid=${id}`, `--regid=${id}`, "--clear-groups", "--"],
        ...["env", "-i"],
        ...Object.entries({ ...variables, ...env }).map(
          ([name, value]) => `${name}=${value}`,
        ),
        ...[command, ...args],
      ],
      { cwd },
    );
  }

  /** Runs the source tree's command line as root. @returns stdout */
  asRoot(...args: readonly string[]): string {
    const program = join(repository, "cli/dist/banger-start.cjs");
    return execFileSync(process.execPath, [program, ...args], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], HOME: this.#scratch, NO_COLOR: "1" },
    });
  }

  /** `banger system run-helper`; resolves when it answers. */
  async startHelper(): Promise<void> {
    const out = openSync(this.#helperLog, "a");
    // A group of its own, so that whatever it has started ends with it.
    const helper = spawn(command, ["system", "run-helper"], {
      cwd: "/",
      detached: true,
      stdio: ["ignore", out, out],
      env: { PATH: process.env["PATH"] },
    });
    closeSync(out);
    this.#helper = helper;
    const before = this.#answered();
    await eventually("the root helper answers", async () => {
      if (helper.exitCode !== null)
        throw new Error(`the root helper has ended:\n${this.helperLog()}`);
      return this.#answered() > before && existsSync(helperSocket);
    });
  }

  /** Its socket, and how it ends with SIGKILL, with whatever it was doing. */
  readonly helper = {
    socket: helperSocket,
    kill: (): Promise<void> => this.#endHelper("SIGKILL"),
  };

  helperLog(): string {
    return readFileSync(this.#helperLog, "utf8");
  }

  /** Deletes every VM, ends daemon and helper, and takes the layers away. */
  async remove(): Promise<void> {
    try {
      if (!this.#helper) await this.startHelper();
      const ids = (await this.ok(["vm", "list", "-a", "-q"]))
        .split("\n")
        .filter(Boolean);
      if (ids.length > 0) await this.ok(["vm", "delete", ...ids]);
      await this.ok(["daemon", "stop"]);
    } finally {
      await this.#end();
    }
  }

  /**
   * Uninstalls with everything, which ends the helper too, and takes the layers away.
   * @returns what the install has left in the file system, its owner's account and home left out
   */
  async purge(): Promise<readonly string[]> {
    const helper = this.#helper;
    this.asRoot("system", "uninstall", "--purge", "--yes");
    await eventually("the helper has ended with its install", async () => {
      return helper === undefined || helper.exitCode !== null;
    });
    const changes = await this.#end();
    const own = ["/etc/passwd", "/etc/group", "/etc/resolv.conf"];
    return changes.filter(
      (path) => !own.includes(path) && !path.startsWith(owner.home),
    );
  }

  get #helperLog(): string {
    return join(this.#scratch, "helper.log");
  }

  /** How often a helper has said that it answers. */
  #answered(): number {
    return this.helperLog().split("Root helper answers").length - 1;
  }

  async #end(): Promise<readonly string[]> {
    await this.#endHelper("SIGTERM");
    const changes = this.#layers.unmount();
    rmSync(this.#scratch, { recursive: true, force: true });
    return changes;
  }

  async #endHelper(signal: NodeJS.Signals): Promise<void> {
    const helper = this.#helper;
    this.#helper = undefined;
    if (helper?.pid === undefined || helper.exitCode !== null) return;
    const group = -helper.pid;
    const ended = once(helper, "exit");
    process.kill(group, signal);
    await ended;
    // What it has started is no child of this process.
    await eventually("the whole helper has ended", async () => !isThere(group));
  }
}

/** @param pid negative for a process group */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

function addOwner(): void {
  const { name, id, home } = owner;
  appendFileSync("/etc/passwd", `${name}:x:${id}:${id}::${home}:/bin/sh\n`);
  appendFileSync("/etc/group", `${name}:x:${id}:\n`);
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, id, id);
}

/** Configuration and image: the install makes the directories, and whoever it is for fills them. */
function giveToOwner(config: string, imagesDirectory: string): void {
  const settings = process.env[runVariables.config] ?? "";
  writeFileSync(
    "/var/lib/banger/config/config.toml",
    mergeTables(config, settings),
  );
  const images = join(state, "images");
  const copy = ["-a", "--sparse=always", "--no-target-directory"];
  execFileSync("cp", [...copy, imagesDirectory, images]);
  execFileSync("chown", ["-R", `${owner.id}:${owner.id}`, images]);
}
