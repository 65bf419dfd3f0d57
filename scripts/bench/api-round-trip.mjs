// One request and its answer over a connection that is kept, against a bare HTTP server on the same kind of socket.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent } from "node:http";
import { join } from "node:path";
import { fetchText } from "./install.mjs";
import { collect, median, percentile } from "./measure.mjs";

const warmUpRounds = 100;
const bare = "bare node server";

export async function apiRoundTrip(install, quick) {
  install.startDaemon();
  const agent = new Agent({ keepAlive: true });
  const socketPath = join(install.home, "bare.sock");
  const program = join(import.meta.dirname, "bare-server.mjs");
  // In a process of its own, as the daemon is. It ends with ours.
  const server = spawn(process.execPath, [program, socketPath], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    await once(server.stdout, "data");
    const variants = {
      [bare]: async () => {
        await fetchText({ agent, socketPath, method: "GET", path: "/" });
      },
      ...Object.fromEntries(
        ["/v1/vms", "/v1/daemon"].map((path) => [
          `GET ${path}, no VMs`,
          async () => {
            await install.api("GET", path);
          },
        ]),
      ),
    };
    const rounds = quick ? 500 : 2000;
    await collect(warmUpRounds, variants);
    const times = await collect(rounds, variants);
    console.log(`\nAPI round trip, ${rounds} requests each`);
    const base = median(times[bare]);
    for (const [name, list] of Object.entries(times)) {
      const middle = median(list);
      const against = name === bare ? "" : `  x${(middle / base).toFixed(2)}`;
      console.log(
        `  ${name.padEnd(34)} p50 ${middle.toFixed(2)} ms  p99 ${percentile(list, 0.99).toFixed(2)} ms${against}`,
      );
    }
  } finally {
    agent.destroy();
    server.stdin.end();
  }
}
