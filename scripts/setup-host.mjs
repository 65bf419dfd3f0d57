// What the tests need of the host: the programs that `banger setup` lists for the network mode `bridge`, clients and a server of DNS, and one
// program that makes a file system whose files share blocks. For root only; as another user the tests that need them say that they do not run.
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

/** Programs of the tests alone, and Debian's packages that have them. */
const testPrograms = {
  "/usr/bin/dig": "bind9-dnsutils",
  "/usr/bin/kdig": "knot-dnsutils",
  "/usr/bin/dnsperf": "dnsperf",
  // Without the service that the package dnsmasq has beside it.
  "/usr/sbin/dnsmasq": "dnsmasq-base",
  "/usr/sbin/mkfs.xfs": "xfsprogs",
  // What an owner of a system install needs, and root does not.
  "/usr/bin/newuidmap": "uidmap",
};

function installTestPrograms() {
  const missing = Object.entries(testPrograms)
    .filter(([path]) => !existsSync(path))
    .map(([, name]) => name);
  if (missing.length === 0 || !existsSync("/usr/bin/apt-get")) return true;
  const quietly = { DEBIAN_FRONTEND: "noninteractive" };
  const args = ["install", "-y", "--no-install-recommends", ...missing];
  return run("apt-get", args, quietly);
}

if (process.getuid() !== 0)
  console.log("not root: the tests that need the bridge mode do not run");
// The tests say which of their own programs are missing.
else if (setUp()) installTestPrograms();
else process.exitCode = 1;
