// A temporary install and its daemon.
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

export const root = resolve(import.meta.dirname, "../..");
export const cli = join(root, "cli/dist/banger-start.cjs");

const installs = new Set();

/** Ends and removes every install there is. Idempotent, and synchronous: a signal's handler may call it. */
export function removeInstalls() {
  for (const install of installs) {
    try {
      install.remove();
    } catch (error) {
      console.error(`${install.home} is left: ${error.message}`);
      process.exitCode = 1;
    }
  }
}

/** BANGER_HOME in a new folder, with a way to the CLI and one to the API. */
export class BenchInstall {
  home = mkdtempSync(join(tmpdir(), "banger-bench-"));
  env = { ...process.env, BANGER_HOME: this.home, NO_COLOR: "1" };
  /** where its images are */
  images = join(this.home, "state/images");
  #agent = new Agent({ keepAlive: true });

  /** @param images directory to share; without it there are none */
  constructor(images) {
    installs.add(this);
    const state = join(this.home, "state");
    mkdirSync(state, { mode: 0o700 });
    if (images) symlinkSync(images, join(state, "images"));
  }

  /** @returns stdout */
  banger(...args) {
    return execFileSync(process.execPath, [cli, ...args], {
      env: this.env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 64 * 2 ** 20,
    });
  }

  /** The same, beside others. */
  async bangerBeside(...args) {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [cli, ...args],
      { env: this.env, maxBuffer: 64 * 2 ** 20 },
    );
    return stdout;
  }

  startDaemon() {
    this.banger("ps");
  }

  stopDaemon() {
    // A synchronous command keeps this process from seeing that the daemon closed a connection.
    this.#agent.destroy();
    this.banger("daemon", "stop");
  }

  /** One request over a connection that is kept. @returns the body's text; for an operation all of its events */
  api(method, path, body) {
    return fetchText({
      agent: this.#agent,
      socketPath: join(this.home, "run/bangerd.sock"),
      method,
      path,
      body,
    });
  }

  /** Of those whose state is in `states`, or of all. @returns names */
  vmNames(...states) {
    return JSON.parse(this.banger("ps", "-a", "--json"))
      .filter(({ state }) => states.length === 0 || states.includes(state))
      .map(({ name }) => name);
  }

  remove() {
    // Of the others there are files in the home, nothing else.
    const live = this.vmNames("running", "error");
    if (live.length > 0) this.banger("vm", "delete", ...live);
    this.stopDaemon();
    rmSync(this.home, { recursive: true, force: true });
    installs.delete(this);
  }
}

/** @throws for a status of 400 or more, and for an operation that failed */
export function fetchText({ agent, socketPath, method, path, body }) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((done, failed) => {
    const headers =
      text === undefined ? {} : { "content-type": "application/json" };
    const sent = request(
      { agent, socketPath, method, path, headers },
      (response) => {
        let answer = "";
        response.setEncoding("utf8");
        response.on("data", (chunk) => (answer += chunk));
        response.on("error", failed);
        response.on("end", () => {
          const isFailure =
            response.statusCode >= 400 || answer.includes('{"type":"error"');
          if (isFailure) failed(new Error(`${method} ${path}: ${answer}`));
          else done(answer);
        });
      },
    );
    sent.on("error", failed);
    sent.end(text);
  });
}
