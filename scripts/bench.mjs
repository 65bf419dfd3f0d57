// `npm run bench [-- --quick] [-- --full] [-- --only topic,...]`: what banger adds, as medians of interleaved runs and ratios taken in one
// go. Never a test: machines are shared and noisy. Needs a built tree; the topics that boot guests need the default image's packages, too
// (`./banger setup`), and `dns` needs dnsperf and dnsmasq (`scripts/setup-host.mjs`). BANGER_E2E_IMAGES may name an images directory that has
// the default image already. `--full` boots guests also where else only the part in question is measured: minutes more.
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { apiRoundTrip } from "./bench/api-round-trip.mjs";
import { commandLine } from "./bench/command-line.mjs";
import { dns } from "./bench/dns.mjs";
import { firecracker } from "./bench/firecracker.mjs";
import { firstCommand } from "./bench/first-command.mjs";
import { hookDispatch } from "./bench/hook-dispatch.mjs";
import { idleMemory } from "./bench/idle-memory.mjs";
import { BenchInstall, removeInstalls } from "./bench/install.mjs";
import { parallelCreates } from "./bench/parallel-creates.mjs";
import { records } from "./bench/records.mjs";
import { rootDisks } from "./bench/root-disks.mjs";
import { tapPool } from "./bench/tap-pool.mjs";

const topics = {
  "hook-dispatch": () => hookDispatch(),
  "command-line": commandLine,
  "api-round-trip": apiRoundTrip,
  "idle-memory": idleMemory,
  records: (_install, quick) => records(quick),
  dns,
  firecracker: (_install, quick) => firecracker(quick),
  "root-disks": (_install, quick) => rootDisks(quick),
  "tap-pool": (install, quick) => tapPool(install.images, { quick, full }),
  "first-command": firstCommand,
  "parallel-creates": parallelCreates,
};
const withImage = ["first-command", "parallel-creates"];
const withImageInFull = ["tap-pool"];

/** @throws for wrong usage */
function readCommandLine() {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const named = values.only.flatMap((list) => list.split(","));
  const unknown = named.filter((name) => !Object.hasOwn(topics, name));
  if (unknown.length > 0)
    throw new Error(
      `no such topic: ${unknown.join(", ")}; there are ${Object.keys(topics).join(", ")}`,
    );
  const chosen = Object.keys(topics).filter(
    (name) => named.length === 0 || named.includes(name),
  );
  return { quick: values.quick, full: values.full, chosen };
}

let commandLineArguments;
try {
  commandLineArguments = readCommandLine();
} catch (error) {
  console.error(error.message);
  process.exit(2);
}
const { quick, full, chosen } = commandLineArguments;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(signal, () => {
    removeInstalls();
    process.exit(130);
  });

console.log(
  `banger bench: node ${process.version}, ${cpus().length} x ${cpus()[0]?.model}, medians of interleaved runs`,
);
try {
  const images = process.env.BANGER_E2E_IMAGES;
  const install = new BenchInstall(images);
  const booting = [...withImage, ...(full ? withImageInFull : [])];
  const needsImage = chosen.some((name) => booting.includes(name));
  if (needsImage && images === undefined)
    install.banger("image", "build", "debian-bookworm");
  for (const name of chosen) await topics[name](install, quick);
} catch (error) {
  // A command that ran meanwhile got a signal, too, and fails before this process hears of it; then its failure is no news.
  await sleep(200);
  throw error;
} finally {
  removeInstalls();
}
