import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, openSync, closeSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually, type Install } from "../install.js";
import {
  killDirectoryVariable,
  KillFiles,
  type KillPlan,
} from "./kill-plan.js";

/** How long an armed daemon may live on after the command that it was to die in, ms: its last calls may follow its answer. */
const afterwardsMs = 300;

/** The crashing daemon of one install: started, armed, and waited for. */
export class KillDaemon {
  readonly #install: Install;
  readonly #program: string;
  readonly #directory: string;
  readonly #files: KillFiles;
  #child: ChildProcess | undefined;

  /** @param program what bundleCrashingDaemon made */
  constructor(install: Install, program: string) {
    this.#install = install;
    this.#program = program;
    this.#directory = join(install.path, "kill");
    mkdirSync(this.#directory);
    this.#files = new KillFiles(this.#directory);
  }

  /** Instead of the install's daemon. Resolves when it answers, with everything reconciled. */
  async start(): Promise<void> {
    await this.#install.ok(["daemon", "stop"]);
    const out = openSync(join(this.#directory, "out"), "a");
    const child = spawn(process.execPath, [this.#program], {
      cwd: "/",
      stdio: ["ignore", out, out],
      env: {
        ...process.env,
        BANGER_HOME: this.#install.path,
        [killDirectoryVariable]: this.#directory,
      },
    });
    closeSync(out);
    this.#child = child;
    const socket = join(this.#install.path, "run/bangerd.sock");
    for (;;) {
      if (await answers(socket)) return;
      if (child.exitCode !== null || child.signalCode !== null) {
        const text = readFileSync(join(this.#directory, "out"), "utf8");
        throw new Error(`the crashing daemon did not start:\n${text}`);
      }
      await sleep(10);
    }
  }

  /** The daemon counts from the next call on. */
  async arm(plan: Omit<KillPlan, "id">): Promise<void> {
    const id = randomBytes(4).toString("hex");
    this.#files.writePlan({ id, ...plan });
    this.#child?.kill("SIGUSR2");
    await eventually("the daemon is armed", () =>
      Promise.resolve(this.#files.armed() === id),
    );
  }

  /** Names of the calls since it was armed. */
  calls(): readonly string[] {
    return this.#files.calls();
  }

  /**
   * Waits for its death; one that lives on although its command has ended is killed now.
   * @returns did it die by itself?
   */
  async died(): Promise<boolean> {
    const child = this.#child;
    if (!child) throw new Error("there is no crashing daemon");
    this.#child = undefined;
    if (await ended(child, afterwardsMs)) return true;
    child.kill("SIGKILL");
    await ended(child);
    return false;
  }
}

async function ended(child: ChildProcess, limitMs?: number): Promise<boolean> {
  if (child.exitCode !== null || child.signalCode !== null) return true;
  const exit = new Promise<true>((resolve) => {
    child.once("exit", () => {
      resolve(true);
    });
  });
  if (limitMs === undefined) return exit;
  return Promise.race([exit, sleep(limitMs, false as const)]);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => {
      resolve(false);
    });
  });
}
