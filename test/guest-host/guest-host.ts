import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Install, repository, type Outcome } from "../install.js";
import { downloadPackages } from "./debian-packages.js";
import { nodeLibraries, packNode } from "./node-program.js";
import { packProgram } from "./program-archive.js";

const vm = "guest-host";

/** A guest's tmpfs at /tmp is a quarter of it, and Node.js and two daemons live beside the tests. */
const size = ["--vcpu", "2", "--memory", "1536M", "--disk-size", "256M"];

/** What banger uses on a bridge and the image has not. */
const packages = [
  "nftables",
  "iptables",
  "dmsetup",
  "systemd-resolved",
  "uidmap",
];

/** Of what a script that failed has printed, characters. */
const mostShown = 2_000;

export interface ScriptOptions {
  readonly input?: string | Buffer;
  /** login name; root when it is absent */
  readonly user?: string;
}

/** Where the guest has the program. */
export const programDirectory = "/opt/banger";

/** A user of the guest who is not root. */
export const tester = "tester";

/**
 * A guest of this tree's own image that stands for a host: Debian with systemd as its first process and every module of its kernel, with
 * Node.js, the built program below {@link programDirectory}, and the Debian packages that a bridge takes.
 */
export class GuestHost {
  readonly #home: string;

  /** @param home BANGER_HOME of the install that the guest is in */
  constructor(home: string) {
    this.#home = home;
  }

  /** Makes and fills the guest. */
  static async start(install: Install): Promise<void> {
    await install.ok(["vm", "create", "--name", vm, ...size]);
    const guest = new GuestHost(install.path);
    await guest.#addNode();
    await guest.#addPackages(join(install.path, "apt"));
    await guest.#addProgram();
    await guest.ok(`useradd --create-home --shell /bin/bash ${tester}`);
  }

  async #addProgram(): Promise<void> {
    await this.ok(
      `mkdir -p ${programDirectory} && tar --extract --gzip --directory ${programDirectory}`,
      { input: packProgram() },
    );
  }

  async #addNode(): Promise<void> {
    const known = await this.ok("ldconfig --print-cache");
    for (const [name, path] of nodeLibraries())
      if (!known.includes(`\t${name} `)) {
        const file = `/usr/local/lib/${basename(path)}`;
        await this.ok(`cat >${file}; ldconfig`, { input: readFileSync(path) });
      }
    // At the same path: programs that are sent name it.
    const path = process.execPath;
    await this.ok(
      `mkdir -p ${dirname(path)}; gunzip >${path}; chmod 755 ${path}
      ln -sf ${path} /usr/local/bin/node; node --version`,
      { input: packNode() },
    );
  }

  async #addPackages(directory: string): Promise<void> {
    const system = {
      sources: await this.ok("cat /etc/apt/sources.list.d/*.sources"),
      status: await this.ok("cat /var/lib/dpkg/status"),
    };
    await this.ok(
      // The bus must know the rules of what came with its own start behind it.
      `mkdir /var/tmp/packages; cd /var/tmp/packages; tar --extract
      dpkg --install --force-unsafe-io ./*.deb; rm -r /var/tmp/packages
      systemctl reload dbus; systemctl restart systemd-resolved`,
      { input: downloadPackages(directory, system, packages) },
    );
  }

  /** Runs a script of bash, which ends at its first failure. */
  async run(script: string, options: ScriptOptions = {}): Promise<Outcome> {
    const { user, input = "" } = options;
    const shell = ["bash", "--norc", "-euo", "pipefail", "-c", script];
    const home = `HOME=/home/${user ?? ""}`;
    const as = user === undefined ? [] : ["runuser", "-u", user, "--"];
    const own = user === undefined ? [] : ["env", "--chdir=/", home];
    const command = [...as, ...own, ...shell];
    const child = spawn(
      process.execPath,
      [
        join(repository, "cli/dist/banger-start.cjs"),
        ...["vm", "exec", vm, "--", ...command],
      ],
      { env: { ...process.env, NO_COLOR: "1", BANGER_HOME: this.#home } },
    );
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    const status = await new Promise<number | null>((done, reject) => {
      child.on("error", reject);
      child.on("close", done);
    });
    return {
      status,
      stdout: Buffer.concat(stdout).toString(),
      stderr: Buffer.concat(stderr).toString(),
    };
  }

  /** Runs a script and demands success. @returns stdout */
  async ok(script: string, options: ScriptOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(script, options);
    if (status !== 0)
      throw new Error(
        `in the guest, ${script}\nended with ${String(status)}: ${stdout.slice(-mostShown)}${stderr}`,
      );
    return stdout;
  }

  /** The lines of a script's output, without empty ones. */
  async lines(
    script: string,
    options: ScriptOptions = {},
  ): Promise<readonly string[]> {
    return (await this.ok(script, options)).split("\n").filter(Boolean);
  }
}
