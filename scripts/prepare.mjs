// Makes this source tree ready to run: node modules, the compiled SQLite addon, the build. Plain Node, because it runs
// before anything is installed; it does nothing that is already done, and a second one waits for the first.
//
//   node scripts/prepare.mjs            all of it
//   node scripts/prepare.mjs --install  without the build
//   … --yes                             may install the Debian packages that compiling takes
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const self = fileURLToPath(import.meta.url);
const root = resolve(dirname(self), "..");
const modules = join(root, "node_modules");
const records = join(modules, ".banger");
const installOnly = process.argv.includes("--install");
const agreed = process.argv.includes("--yes");
const abi = `node-v${process.versions.modules}-${process.platform}${libc()}-${process.arch}`;
const addon = join(modules, "better-sqlite3/build/Release/better_sqlite3.node");
const COMPILE_TOOLS = ["python3", "make", "g++"];
const started = Date.now();

process.exitCode = main();

async function prepare() {
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  const sources = newestSource();
  // Another one may have done it all while this one waited for the lock.
  if (installed(lock) && (installOnly || isBuilt(sources)) && addonWorks())
    return;
  if (!installed(lock)) {
    say("installing node modules");
    await npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    mkdirSync(records, { recursive: true });
    writeFileSync(join(records, "lock"), lock);
  }
  // The compiler keeps one core busy for minutes where there is no kept addon; the build uses the other one meanwhile.
  const [withAddon, withBuild] = await Promise.allSettled([
    ensureAddon(),
    installOnly ? undefined : buildAll(),
  ]);
  for (const outcome of [withBuild, withAddon])
    if (outcome.status === "rejected") throw outcome.reason;
  if (!installOnly) {
    const stamp = join(records, "ready");
    writeFileSync(stamp, `${process.version}\n`);
    // As old as the newest source that was there at the start: what is edited during the build is newer.
    utimesSync(stamp, sources, sources);
  }
  say(`ready after ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** Exit status. Runs itself again under a lock, which the kernel frees however the holder ends. */
function main() {
  if (process.env.BANGER_PREPARE_LOCKED !== "1") {
    const env = { ...process.env, BANGER_PREPARE_LOCKED: "1" };
    const locked = spawnSync(
      "flock",
      [self, process.execPath, ...process.argv.slice(1)],
      { stdio: "inherit", env },
    );
    if (locked.error?.code !== "ENOENT") return locked.status ?? 1;
    say("no `flock` here: do not start two of these at once");
  }
  prepare().catch((error) => {
    console.error(`banger: ${error.message}`);
    process.exitCode = 1;
  });
  return 0;
}

function say(text) {
  console.error(`banger: ${text}`);
}

function installed(lock) {
  const record = join(records, "lock");
  if (existsSync(record)) return readFileSync(record, "utf8") === lock;
  // Somebody ran npm by hand: believe npm's own record when it is no older than the lock file.
  const npmRecord = join(modules, ".package-lock.json");
  if (
    !existsSync(npmRecord) ||
    statSync(npmRecord).mtimeMs <
      statSync(join(root, "package-lock.json")).mtimeMs
  )
    return false;
  mkdirSync(records, { recursive: true });
  writeFileSync(record, lock);
  return true;
}

function isBuilt(sources) {
  const stamp = join(records, "ready");
  if (
    !existsSync(stamp) ||
    !existsSync(join(root, "cli/dist/banger-start.cjs"))
  )
    return false;
  return (
    readFileSync(stamp, "utf8").trim() === process.version &&
    statSync(stamp).mtimeMs / 1000 >= sources
  );
}

/** Modification time in seconds, rounded up, of the newest file or folder that `./banger` compares with the stamp. */
function newestSource() {
  const plugins = join(root, "plugins");
  const roots = [
    ...[
      "package-lock.json",
      "tsconfig.base.json",
      "core/src",
      "host/src",
      "cli/src",
      "scripts",
    ].map((name) => join(root, name)),
    ...readdirSync(plugins).map((name) => join(plugins, name, "src")),
  ];
  let newest = 0;
  const visit = (path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    newest = Math.max(newest, stat.mtimeMs);
    if (stat.isDirectory())
      for (const name of readdirSync(path)) visit(join(path, name));
  };
  roots.forEach(visit);
  return Math.ceil(newest + 1) / 1000;
}

// --- the SQLite addon --------------------------------------------------------------------------------------------

async function ensureAddon() {
  if (addonWorks()) return;
  const { version } = JSON.parse(
    readFileSync(join(modules, "better-sqlite3/package.json"), "utf8"),
  );
  const cache = join(
    process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
    "banger/addons",
  );
  const kept = join(cache, `better-sqlite3-v${version}-${abi}.tar.gz`);
  if (existsSync(kept)) {
    say("unpacking the kept SQLite addon");
    rmSync(join(modules, "better-sqlite3/build"), {
      recursive: true,
      force: true,
    });
    spawnSync("tar", ["-xzf", kept, "-C", join(modules, "better-sqlite3")]);
    if (addonWorks()) return;
    // Made on another machine, or cut short.
    rmSync(kept, { force: true });
  }
  const missing = COMPILE_TOOLS.filter(
    (tool) =>
      spawnSync(tool, ["--version"], { env: npmEnvironment() }).status !== 0,
  );
  say(
    missing.length === 0
      ? "compiling the SQLite addon, about two minutes and only the first time"
      : "looking for a compiled SQLite addon to download",
  );
  rmSync(join(modules, "better-sqlite3/build"), {
    recursive: true,
    force: true,
  });
  let failure = await rebuildAddon();
  if (!addonWorks() && missing.length > 0) {
    const apt = ["apt-get", "install", "-y", "--no-install-recommends"];
    const install = [...apt, ...COMPILE_TOOLS];
    if (process.getuid() !== 0) install.unshift("sudo");
    if (!agreed) {
      throw new Error(
        `the SQLite addon can be neither downloaded nor compiled here: missing ${missing.join(", ")}.\n` +
          `Run: ${install.join(" ")}\nThen the same command again, or let it install them: add --yes.`,
      );
    }
    say(`installing ${COMPILE_TOOLS.join(", ")} to compile the SQLite addon`);
    const update = [
      ...install.slice(0, install.indexOf("apt-get") + 1),
      "update",
    ];
    await run(update[0], update.slice(1), { held: true });
    await run(install[0], install.slice(1), { held: true });
    say(
      "compiling the SQLite addon, about two minutes and only the first time",
    );
    failure = await rebuildAddon();
  }
  if (!addonWorks()) {
    throw (
      failure ??
      new Error(
        "the SQLite addon was built but does not load; see npm rebuild better-sqlite3",
      )
    );
  }
  keepAddon(cache, kept);
}

/** Downloads or compiles. @returns the error, or undefined */
async function rebuildAddon() {
  try {
    await npm(["rebuild", "better-sqlite3"], { held: true });
    return undefined;
  } catch (error) {
    return error;
  }
}

function addonWorks() {
  if (!existsSync(addon)) return false;
  const script = 'new (require("better-sqlite3"))(":memory:").close()';
  return (
    spawnSync(process.execPath, ["-e", script], { cwd: root }).status === 0
  );
}

/** In the form that better-sqlite3's own installer takes too (npm_config_better_sqlite3_local_prebuilds). */
function keepAddon(cache, kept) {
  const work = mkdtempSync(join(tmpdir(), "banger-addon-"));
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 });
    mkdirSync(join(work, "build/Release"), { recursive: true });
    copyFileSync(addon, join(work, "build/Release/better_sqlite3.node"));
    const partial = `${kept}.${process.pid}.tmp`;
    const packed = spawnSync("tar", [
      "-czf",
      partial,
      "-C",
      work,
      "build/Release/better_sqlite3.node",
    ]);
    if (packed.status === 0) renameSync(partial, kept);
  } catch (error) {
    say(`the compiled addon could not be kept in ${cache}: ${error.message}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function libc() {
  return process.platform === "linux" &&
    process.report.getReport().header.glibcVersionRuntime === undefined
    ? "musl"
    : "";
}

// --- the build ---------------------------------------------------------------------------------------------------

async function buildAll() {
  say("building");
  await run(process.execPath, [
    join(modules, "typescript/bin/tsc"),
    "-b",
    "tsconfig.build.json",
  ]);
  await run(process.execPath, [join(root, "scripts/bundle-cli.mjs")]);
}

// --- processes ---------------------------------------------------------------------------------------------------

function npm(args, options = {}) {
  return run("npm", [...args, "--loglevel=error"], {
    env: npmEnvironment(),
    ...options,
  });
}

/** This very Node first on PATH, and the headers that came with it, so that node-gyp downloads none. */
function npmEnvironment() {
  const env = {
    ...process.env,
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ""}`,
  };
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  if (existsSync(join(prefix, "include/node/node_api.h")))
    env.npm_config_nodedir ??= prefix;
  return env;
}

/**
 * Runs to the end in the tree's root; a failure names the command. Output goes to stderr as it comes, or with `held`
 * becomes the failure's `output`.
 */
function run(command, args, { env = process.env, held = false } = {}) {
  return new Promise((done, failed) => {
    const output = held ? "pipe" : process.stderr;
    const child = spawn(command, args, {
      cwd: root,
      env,
      stdio: ["ignore", output, output],
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (chunk) => (text += chunk));
    child.once("error", (error) =>
      failed(new Error(`${command} cannot be started: ${error.message}`)),
    );
    child.once("close", (status, signal) => {
      if (status === 0) return done();
      const failure = new Error(
        `failed (${signal ?? `exit ${status}`}): ${[command, ...args].join(" ")}`,
      );
      failed(Object.assign(failure, { output: text }));
    });
  });
}
