// The first command in a fresh VM, and one in a running VM.
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { interleave, table } from "./measure.mjs";

/** The VMM of a VM as it runs: its arguments, to start the very same machine without banger. */
function vmmArguments(install, name) {
  const { id } = JSON.parse(install.banger("vm", "show", name, "--json"));
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

export async function firstCommand(install, quick) {
  const { home } = install;
  install.banger("vm", "run", "-d", "--name", "bench");
  const { id, args } = vmmArguments(install, "bench");
  const vm = join(home, "state/vms", id);
  const run = join(home, "run/vms", id);
  const plain = mkdtempSync(join(home, "plain-"));
  copyFileSync(join(vm, "boot.initrd"), join(plain, "boot.initrd"));
  const line = args.join(" ");
  const image = line.match(/-kernel (\S+)\/vmlinuz/)[1];
  const address = line.match(/hostfwd=tcp:([\d.]+):(\d+)/).slice(1);
  install.banger("vm", "stop", "bench");
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
      install.banger("vm", "run", "--rm", "--", "true");
    },
  });
  table(
    "First command in a fresh VM (aim: at most 10 % or 0.5 s on top)",
    results,
    "plain qemu, ssh true",
    "s",
  );
  install.banger("vm", "start", "bench");
  const execs = await interleave(quick ? 5 : 20, {
    "node -e 0": () => {
      execFileSync(process.execPath, ["-e", "0"]);
    },
    "banger vm exec -- true": () => {
      install.banger("vm", "exec", "bench", "--", "true");
    },
  });
  table("A command in a running VM", execs, "node -e 0");
  install.banger("vm", "delete", "bench");
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
