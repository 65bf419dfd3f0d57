import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { leaks, takeInventory } from "../host-inventory.js";
import { Home } from "./harness.js";

const small = ["--vcpu", "1", "--memory", "256M", "--disk-size", "64M"];
const isRoot = process.getuid?.() === 0;

/**
 * An install whose state is on a small file system of its own. It is mounted in a mount namespace, so it goes with the last process in
 * there however the test ends; a user who is not root gets a user namespace for it.
 */
class SmallDiskHome extends Home {
  readonly #holder: ChildProcessWithoutNullStreams;

  private constructor(
    holder: (home: string) => ChildProcessWithoutNullStreams,
  ) {
    super(Home.dnsConfig(15382));
    rmSync(join(this.path, "state"), { recursive: true });
    mkdirSync(join(this.path, "state"), { mode: 0o700 });
    this.#holder = holder(this.path);
  }

  static async make(size: string): Promise<SmallDiskHome> {
    const namespaces = isRoot ? ["-m"] : ["-c", "--keep-caps", "-m"];
    // Each line that it reads is a new size.
    const script = `mount -t tmpfs -o size=${size},mode=0700 none "$1/state" && echo ready &&
      while read -r size; do mount -o "remount,size=$size" "$1/state" && echo ready; done`;
    const home = new SmallDiskHome((path) =>
      spawn("unshare", [...namespaces, "sh", "-c", script, "sh", path]),
    );
    await home.#ready();
    symlinkSync(inject("imagesDirectory"), join(home.state, "images"));
    return home;
  }

  /** the state directory as its namespace sees it */
  get state(): string {
    return join(`/proc/${this.#holder.pid ?? 0}/root`, this.path, "state");
  }

  async resize(size: string): Promise<void> {
    this.#holder.stdin.write(`${size}\n`);
    await this.#ready();
  }

  override start(
    ...[args, options = {}]: Parameters<Home["start"]>
  ): ChildProcessWithoutNullStreams {
    const [program = "", ...rest] = this.command(args);
    const namespaces = isRoot ? ["-m"] : ["-U", "-m", "--preserve-credentials"];
    return spawn(
      "nsenter",
      [`--target=${this.#holder.pid ?? 0}`, ...namespaces, program, ...rest],
      {
        cwd: "/",
        env: {
          ...process.env,
          NO_COLOR: "1",
          ...options.env,
          BANGER_HOME: this.path,
        },
      },
    );
  }

  override async remove(): Promise<void> {
    try {
      await super.remove();
    } finally {
      this.#holder.kill();
    }
  }

  async #ready(): Promise<void> {
    let problem = "";
    this.#holder.stderr.on("data", (chunk: Buffer) => {
      problem += chunk.toString();
    });
    await new Promise<void>((resolve, reject) => {
      this.#holder.stdout.once("data", () => {
        resolve();
      });
      this.#holder.once("exit", () => {
        reject(new Error(`no small file system here: ${problem}`));
      });
    });
  }
}

describe("a host that does not play along", () => {
  describe("whose disk is full", () => {
    let home: SmallDiskHome;
    beforeAll(async () => {
      home = await SmallDiskHome.make("2M");
    });
    afterAll(() => home.remove());

    it("refuses a VM with the reason, leaves nothing, and works when there is space again", async () => {
      await home.ok(["vm", "list"]);
      const before = takeInventory(home.path);
      const run = ["vm", "run", "-d", "--name", "big", ...small];
      const refuses = async (
        code: string,
        ...more: readonly string[]
      ): Promise<void> => {
        const refused = await home.run([...run, ...more]);
        expect(refused.stderr).toContain(code);
        expect(refused.status).toBe(1);
        expect(await home.ok(["vm", "list", "-a", "-q"])).toBe("");
        expect(leaks(before, takeInventory(home.path))).toEqual([]);
        expect(readdirSync(join(home.state, "vms"))).toEqual([]);
      };
      // The disk at /root is known to be too large; without it the start gets as far as there is space.
      await refuses("ERR_PREFLIGHT");
      await refuses(
        "ERR_DISK_FULL",
        ...["--no-plugin", "file-sync", "--no-plugin", "work-disk"],
      );
      await home.resize("256M");
      await home.ok(["vm", "run", "-d", "--name", "big", ...small]);
      expect(await home.ok(["vm", "exec", "big", "--", "echo", "up"])).toBe(
        "up\n",
      );
      await home.ok(["vm", "delete", "big"]);
      expect(readdirSync(join(home.state, "vms"))).toEqual([]);
    });
  });

  describe("on which another program is in the way", () => {
    let home: Home;
    beforeAll(() => {
      home = new Home(Home.dnsConfig(15384));
    });
    afterAll(() => home.remove());

    it("says that the database is locked, and works when it is free again", async () => {
      await home.ok([
        "vm",
        "create",
        "--no-start",
        "--name",
        "first",
        ...small,
      ]);
      const other = new Database(join(home.path, "state/state.db"));
      other.exec("BEGIN IMMEDIATE");
      const create = [
        "vm",
        "create",
        "--no-start",
        "--name",
        "second",
        ...small,
      ];
      const refused = await home.run(create);
      expect(refused.stderr).toContain("ERR_STORE_BUSY");
      // Reading goes on meanwhile.
      expect(await home.ok(["vm", "list", "-a"])).toContain("first");
      other.exec("ROLLBACK");
      other.close();
      await home.ok(create);
      await home.ok(["vm", "delete", "first", "second"]);
    });
  });

  it("says which directory it cannot use", async () => {
    const home = new Home(Home.dnsConfig(15385));
    const state = join(home.path, "state");
    // Nothing is unreadable to root, but a file is no directory.
    if (isRoot) {
      rmSync(state, { recursive: true });
      writeFileSync(state, "");
    } else {
      chmodSync(state, 0);
    }
    const refused = await home.run(["vm", "list"]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/\[ERR_[A-Z_]+/);
    expect(refused.stderr).toContain(state);
    chmodSync(state, 0o700);
    rmSync(home.path, { recursive: true, force: true });
  });
});
