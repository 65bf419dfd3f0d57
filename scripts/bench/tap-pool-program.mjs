// The part of the topic `tap-pool` that runs in a network namespace: `node tap-pool-program.mjs [--quick] [--full=IMAGES]`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { BenchNetwork } from "./bench-network.mjs";
import { BenchInstall, removeInstalls } from "./install.mjs";
import { collect, interleave, summarise, table } from "./measure.mjs";

const together = 8;
const cold = "no pool";
const warm = `a warm pool of ${together}`;
const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    full: { type: "string" },
  },
});

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(name, () => {
    removeInstalls();
    process.exit(130);
  });

await preparations(values.quick ? 5 : 25);
if (values.full !== undefined)
  try {
    await wholeStarts(values.full, values.quick ? 1 : 3);
  } finally {
    removeInstalls();
  }

/** `network.prepare` and `network.remove` of as many VMs at once, by the code of the daemon. */
async function preparations(rounds) {
  const hosts = {
    [cold]: await BenchNetwork.make(0, together),
    [warm]: await BenchNetwork.make(together, together),
  };
  const round = Object.fromEntries(
    Object.entries(hosts).map(([name, host]) => [name, () => host.round()]),
  );
  // The bridge and the fence of the first stay for the others.
  await collect(1, round);
  const measured = await collect(rounds, round);
  table(
    `Network of ${together} VMs at once, prepared`,
    summarise(measured, ({ prepareMs }) => prepareMs),
    cold,
  );
  table(
    `Network of ${together} VMs at once, removed`,
    summarise(measured, ({ removeMs }) => removeMs),
    cold,
  );
  table(
    "  until the pool is whole again",
    summarise({ [warm]: measured[warm] }, ({ refillMs }) => refillMs),
    warm,
  );
  for (const host of Object.values(hosts)) await host.end();
}

/** Whole VMs, until their guests are ready; each variant has a daemon of its own. */
async function wholeStarts(images, rounds) {
  const installs = {
    [cold]: withPool(images, 0, "br-fc-cold", "172.20.0.1/24", 15361),
    [warm]: withPool(images, together, "br-fc-warm", "172.21.0.1/24", 15362),
  };
  const size = ["--memory", "256M", "--vcpu", "1", "--disk-size", "64M"];
  const names = Array.from({ length: together }, (_, index) => `pool-${index}`);
  const start = async (install, ...vms) => {
    const begun = performance.now();
    const run = (name) =>
      install.bangerBeside("vm", "run", "-d", "--name", name, ...size);
    await Promise.all(vms.map(run));
    const elapsed = performance.now() - begun;
    install.banger("vm", "delete", ...vms);
    // The pool fills up meanwhile.
    await sleep(1_000);
    return elapsed;
  };
  const variants = Object.fromEntries(
    Object.entries(installs).map(([name, install]) => [
      name,
      () => start(install, ...names),
    ]),
  );
  // The first start of an install measures what its host can do.
  for (const install of Object.values(installs)) await start(install, names[0]);
  table(
    `vm run -d of ${together} VMs at once, until all guests are ready`,
    await interleave(rounds, variants),
    cold,
    "s",
  );
}

function withPool(images, size, bridge, address, dnsPort) {
  const install = new BenchInstall(images);
  writeFileSync(
    join(install.home, "config.toml"),
    `[network]
mode = "bridge"
bridge = "${bridge}"
address = "${address}"
tap_pool_size = ${size}
[plugins.dns]
listen = "127.0.0.1:${dnsPort}"
`,
    { mode: 0o600 },
  );
  return install;
}
