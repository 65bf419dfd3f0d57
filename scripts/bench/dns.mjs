// Questions for names of our own, against dnsmasq with the same names, both on loopback in processes of their own, asked by dnsperf.
import { execFile, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { collect, median, percentile } from "./measure.mjs";

const run = promisify(execFile);
const names = 50;
/** For the latencies: far from what either can do, so that they say nothing of queues. */
const steadyRate = 1000;

export async function dns(_install, quick) {
  const directory = mkdtempSync(join(tmpdir(), "banger-bench-dns-"));
  const questions = join(directory, "questions");
  const numbers = Array.from({ length: names }, (_, n) => n + 1);
  writeFileSync(questions, numbers.map((n) => `vm-${n}.vm A\n`).join(""));
  const servers = [];
  try {
    const ports = { dnsmasq: 21_953, banger: 21_954 };
    const records = numbers.map(
      (n) => `--host-record=vm-${n}.vm,172.16.0.${n + 1}`,
    );
    const program = join(import.meta.dirname, "dns-server.mjs");
    servers.push(
      spawn(
        "dnsmasq",
        [
          "--keep-in-foreground",
          "--conf-file=/dev/null",
          "--pid-file=",
          "--user=",
          "--no-hosts",
          "--no-resolv",
          "--bind-interfaces",
          "--listen-address=127.0.0.1",
          "--local-ttl=5",
          `--port=${ports.dnsmasq}`,
          ...records,
        ],
        { stdio: ["ignore", "ignore", "inherit"] },
      ),
      spawn(process.execPath, [program, String(ports.banger), String(names)], {
        stdio: ["pipe", "ignore", "inherit"],
      }),
    );
    const missing = servers.map((server) =>
      once(server, "error").then(([error]) => Promise.reject(error)),
    );
    await Promise.race([
      ...missing,
      Promise.all(Object.values(ports).map(answers)),
    ]);
    const seconds = quick ? 1 : 3;
    const perf = async (port, ...more) => {
      const args = ["-s", "127.0.0.1", "-p", String(port), "-d", questions];
      const { stdout } = await run("dnsperf", [...args, ...more], {
        maxBuffer: 64 * 2 ** 20,
      });
      return stdout;
    };
    const variants = Object.fromEntries(
      Object.entries(ports).map(([name, port]) => [
        name,
        async () => {
          const flood = await perf(port, "-l", String(seconds));
          const steady = await perf(
            port,
            ...["-l", String(seconds), "-Q", String(steadyRate), "-v"],
          );
          const times = [...steady.matchAll(/^> NOERROR \S+ A ([0-9.]+)$/gm)];
          return {
            perSecond: Number(/per second:\s+([0-9.]+)/.exec(flood)?.[1]),
            lost: Number(/Queries lost:\s+(\d+)/.exec(flood)?.[1]),
            p99: percentile(
              times.map(([, time]) => Number(time) * 1000),
              0.99,
            ),
          };
        },
      ]),
    );
    await collect(1, variants);
    const measured = await collect(quick ? 3 : 7, variants);
    console.log(
      `\nDNS, ${names} names of our own over UDP; p99 at ${steadyRate} questions a second`,
    );
    const base = median(measured.dnsmasq.map(({ perSecond }) => perSecond));
    for (const [name, list] of Object.entries(measured)) {
      const rate = median(list.map(({ perSecond }) => perSecond));
      const p99 = median(list.map((one) => one.p99));
      const lost = list.reduce((sum, one) => sum + one.lost, 0);
      const against =
        name === "dnsmasq" ? "" : `  x${(rate / base).toFixed(2)}`;
      console.log(
        `  ${name.padEnd(34)} ${rate.toFixed(0).padStart(7)} a second${against}  p99 ${p99.toFixed(2)} ms  ${lost} lost`,
      );
    }
  } finally {
    for (const server of servers) server.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Resolves when a name server answers there. */
async function answers(port) {
  const socket = createSocket("udp4");
  try {
    socket.on("error", () => {});
    const reply = once(socket, "message");
    // One question for the root's name servers, which both refuse.
    const question = Buffer.from(
      "00010100000100000000000000000200 01".replace(" ", ""),
      "hex",
    );
    for (let replied = false; !replied;) {
      socket.send(question, port, "127.0.0.1");
      replied = await Promise.race([
        reply.then(() => true),
        sleep(50).then(() => false),
      ]);
    }
  } finally {
    socket.close();
  }
}
