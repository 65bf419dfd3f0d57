// `npm run bench`: what banger adds, as medians of interleaved runs and ratios taken in one go. Never a test: machines are
// shared and noisy. Needs a built tree and the default image's packages (`./banger setup`).
import { execFileSync, spawn } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
} from "node:fs";
import { connect } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const root = resolve(import.meta.dirname, "..");
const cli = join(root, "cli/dist/banger-start.cjs");
const home = mkdtempSync(join(tmpdir(), "banger-bench-"));
const env = { ...process.env, BANGER_HOME: home, NO_COLOR: "1" };
const quick = process.argv.includes("--quick");

const banger = (...args) =>
  execFileSync(process.execPath, [cli, ...args], {
    env,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
};

/** Runs each variant in turn, `rounds` times, so that noise hits all alike. @returns ms by name */
async function interleave(rounds, variants) {
  const times = Object.fromEntries(
    Object.keys(variants).map((name) => [name, []]),
  );
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(variants)) {
      const start = performance.now();
      const measured = await run();
      times[name].push(measured ?? performance.now() - start);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, list]) => [
      name,
      { median: median(list), min: Math.min(...list), max: Math.max(...list) },
    ]),
  );
}

function table(title, results, base, unit = "ms") {
  console.log(`\n${title}`);
  const show = (value) =>
    unit === "s" ? (value / 1000).toFixed(2) : value.toFixed(1);
  for (const [name, { median: middle, min, max }] of Object.entries(results)) {
    const against =
      name === base
        ? ""
        : `  +${show(middle - results[base].median)} ${unit}, x${(middle / results[base].median).toFixed(2)}`;
    console.log(
      `  ${name.padEnd(34)} ${show(middle).padStart(8)} ${unit}  [${show(min)}..${show(max)}]${against}`,
    );
  }
}

async function commandLine() {
  banger("ps");
  const run =
    (...args) =>
    () => {
      execFileSync(process.execPath, args, { env, stdio: "ignore" });
    };
  const results = await interleave(quick ? 10 : 40, {
    "node -e 0": run("-e", "0"),
    "banger --version": run(cli, "--version"),
    "banger ps": run(cli, "ps"),
    "./banger ps": () => {
      execFileSync(join(root, "banger"), ["ps"], { env, stdio: "ignore" });
    },
  });
  table(
    "Command line (aim: at most 40 ms on top of node)",
    results,
    "node -e 0",
  );
}

/** The VMM of a VM as it runs: its arguments, to start the very same machine without banger. */
function vmmArguments(name) {
  const { id } = JSON.parse(banger("vm", "show", name, "--json"));
  for (const pid of readdirSync("/proc").filter((entry) =>
    /^\d+$/.test(entry),
  )) {
    let text;
    try {
      text = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue; // it ended in between
    }
    const args = text.split("\0").slice(0, -1);
    if (args.includes(`banger-${id}`)) return { id, args };
  }
  throw new Error(`no VMM of ${name} found`);
}

async function firstCommand() {
  banger("vm", "run", "-d", "--name", "bench");
  const { id, args } = vmmArguments("bench");
  const vm = join(home, "state/vms", id);
  const run = join(home, "run/vms", id);
  const plain = mkdtempSync(join(home, "plain-"));
  copyFileSync(join(vm, "boot.initrd"), join(plain, "boot.initrd"));
  const line = args.join(" ");
  const image = line.match(/-kernel (\S+)\/vmlinuz/)[1];
  const address = line.match(/hostfwd=tcp:([\d.]+):(\d+)/).slice(1);
  banger("vm", "stop", "bench");
  copyFileSync(join(vm, "work.ext4"), join(plain, "work.pristine"));
  const argv = args
    .slice(1)
    .map((arg) => arg.replaceAll(vm, plain).replaceAll(run, plain));
  const ssh = [
    ...["-i", join(home, "state/ssh/id_ed25519"), "-p", address[1]],
    ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
    ...[
      "-o",
      "LogLevel=ERROR",
      "-o",
      "BatchMode=yes",
      `root@${address[0]}`,
      "true",
    ],
  ];

  /** What a careful script does by hand: overlay, disk, qemu, wait for the agent, ssh. */
  const byHand = async () => {
    const start = performance.now();
    execFileSync("qemu-img", [
      ...["create", "-q", "-f", "qcow2", "-F", "raw"],
      ...["-b", join(image, "rootfs.ext4"), join(plain, "root.qcow2")],
    ]);
    execFileSync("cp", [
      "--sparse=always",
      join(plain, "work.pristine"),
      join(plain, "work.ext4"),
    ]);
    const child = spawn(args[0], argv, { stdio: "ignore" });
    const ended = new Promise((done) => child.on("exit", done));
    try {
      await agentAnswers(join(plain, "agent.sock"));
      for (;;) {
        const status = await new Promise((done) =>
          spawn("ssh", ssh, { stdio: "ignore" }).on("exit", done),
        );
        if (status === 0) return performance.now() - start;
      }
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  };
  const results = await interleave(quick ? 2 : 7, {
    "plain qemu, ssh true": byHand,
    "banger vm run --rm -- true": () => {
      banger("vm", "run", "--rm", "--", "true");
    },
  });
  table(
    "First command in a fresh VM (aim: at most 10 % or 0.5 s on top)",
    results,
    "plain qemu, ssh true",
    "s",
  );
  banger("vm", "start", "bench");
  const execs = await interleave(quick ? 5 : 20, {
    "node -e 0": () => {
      execFileSync(process.execPath, ["-e", "0"]);
    },
    "banger vm exec -- true": () => {
      banger("vm", "exec", "bench", "--", "true");
    },
  });
  table("A command in a running VM", execs, "node -e 0");
  banger("vm", "delete", "bench");
}

async function agentAnswers(path) {
  const deadline = Date.now() + 120_000;
  while (Date.now() < deadline) {
    const answered = await new Promise((done) => {
      const socket = connect(path);
      socket.on("connect", () => {
        socket.write(
          `\u00ff{"execute":"guest-sync","arguments":{"id":1}}\n`,
          "latin1",
        );
      });
      socket.on("data", () => {
        socket.destroy();
        done(true);
      });
      socket.on("error", () => done(false));
      socket.on("close", () => done(false));
    });
    if (answered) return;
    await sleep(10);
  }
  throw new Error("the plain guest's agent did not answer");
}

async function idleMemory() {
  banger("daemon", "stop");
  banger("ps");
  await sleep(5_000);
  const { pid } = JSON.parse(banger("daemon", "status", "--json"));
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const megabytes = (field) =>
    (
      (Number(status.match(new RegExp(`${field}:\\s+(\\d+)`))[1]) * 1024) /
      1e6
    ).toFixed(1);
  console.log("\nIdle daemon (aim: at most 80 MB)");
  console.log(
    `  resident ${megabytes("VmRSS")} MB, of it its own ${megabytes("RssAnon")} MB`,
  );
}

async function hookDispatch() {
  const core = await import(join(root, "core/dist/index.js"));
  const { createHooks } = core;
  const quiet = {
    debug() {},
    info() {},
    warn() {},
    error() {},
    child: () => quiet,
  };
  const plugins = ["a", "b", "c", "d"].map((id) => ({
    plugin: core.definePlugin({
      id,
      apply(hooks) {
        hooks.prepareHost.tapPromise(id, () => Promise.resolve());
      },
    }),
    services: {},
  }));
  const set = new core.PluginSet(
    plugins.map(({ plugin }) => plugin.id),
    core.composeHooks(plugins, []),
    {},
  );
  const bare = createHooks();
  for (const id of ["a", "b", "c", "d"])
    bare.prepareHost.tapPromise(id, () => Promise.resolve());
  const count = 10_000;
  const results = await interleave(5, {
    "bare tapable, 4 taps": async () => {
      for (let i = 0; i < count; i++) await bare.prepareHost.promise({});
    },
    "prepareHost through PluginSet": async () => {
      for (let i = 0; i < count; i++) {
        const caller = core.beginOperation({
          logger: quiet,
          signal: new AbortController().signal,
        });
        await set.prepareHost({}, {}, caller);
      }
    },
  });
  table(`${count} hook dispatches`, results, "bare tapable, 4 taps");
}

console.log(
  `banger bench: node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}, medians of interleaved runs`,
);
try {
  await hookDispatch();
  await commandLine();
  banger("image", "build", "debian-bookworm");
  await firstCommand();
  await idleMemory();
} finally {
  for (const id of banger("vm", "list", "-a", "-q")
    .split("\n")
    .filter(Boolean)) {
    banger("vm", "delete", id);
  }
  banger("daemon", "stop");
  rmSync(home, { recursive: true, force: true });
}
