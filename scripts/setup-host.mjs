// What the tests need of the host: the programs that `banger setup` lists for the network mode `bridge`, and one that makes a file system
// whose files share blocks. For root only; as another user the tests that need them say that they do not run.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");

/** @returns did it succeed? */
function run(file, args, env = {}) {
  const { status, error } = spawnSync(file, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (error) console.error(error.message);
  return status === 0;
}

function setUp() {
  const home = mkdtempSync(join(tmpdir(), "banger-setup-"));
  try {
    writeFileSync(join(home, "config.toml"), '[network]\nmode = "bridge"\n', {
      mode: 0o600,
    });
    const env = { BANGER_HOME: home };
    const banger = join(root, "banger");
    const done = run(banger, ["setup", "--yes"], env);
    return run(banger, ["daemon", "stop"], env) && done;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function installXfs() {
  if (existsSync("/usr/sbin/mkfs.xfs") || !existsSync("/usr/bin/apt-get"))
    return true;
  const quietly = { DEBIAN_FRONTEND: "noninteractive" };
  const args = ["install", "-y", "--no-install-recommends", "xfsprogs"];
  return run("apt-get", args, quietly);
}

if (process.getuid() !== 0)
  console.log("not root: the tests that need the bridge mode do not run");
// A missing mkfs.xfs costs one test, which says so.
else if (setUp()) installXfs();
else process.exitCode = 1;
