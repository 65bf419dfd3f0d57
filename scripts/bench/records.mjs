// What a thousand records cost: list, show, and a daemon that begins.
import { setTimeout as sleep } from "node:timers/promises";
import { BenchInstall } from "./install.mjs";
import { collect, interleave, summarise, table } from "./measure.mjs";
import { crashVms, storeVms } from "./stored-vms.mjs";

const count = 1000;
const crashed = 100;

export async function records(quick) {
  const none = new BenchInstall();
  const many = new BenchInstall();
  await storeVms(many, count);
  for (const install of [none, many]) install.startDaemon();
  await read(none, many, quick ? 5 : 25);
  await begin(none, many, quick ? 3 : 9);
  none.remove();
  many.remove();
}

async function read(none, many, rounds) {
  const api = (install, path) => async () => {
    await install.api("GET", path);
  };
  const banger =
    (install, ...args) =>
    () => {
      install.banger(...args);
    };
  const middle = `vm-${count / 2}`;
  const { id } = JSON.parse(await many.api("GET", `/v1/vms/${middle}`));
  table(
    `API with ${count} stopped VMs`,
    await interleave(rounds, {
      "GET /v1/vms, no VMs": api(none, "/v1/vms"),
      "GET /v1/vms": api(many, "/v1/vms"),
      "GET /v1/vms/<name>": api(many, `/v1/vms/${middle}`),
      "GET /v1/vms/<id>": api(many, `/v1/vms/${id}`),
      "GET /v1/daemon": api(many, "/v1/daemon"),
    }),
    "GET /v1/vms, no VMs",
  );
  table(
    `Command line with ${count} stopped VMs`,
    await interleave(rounds, {
      "banger ps, no VMs": banger(none, "ps"),
      "banger ps": banger(many, "ps"),
      "banger ps -a": banger(many, "ps", "-a"),
      "banger vm show <name>": banger(many, "vm", "show", middle),
    }),
    "banger ps, no VMs",
  );
}

async function begin(none, many, rounds) {
  const start = (install, prepare) => async () => {
    install.stopDaemon();
    await prepare?.();
    const begun = performance.now();
    install.startDaemon();
    const startMs = performance.now() - begun;
    const { reconcile, residentBytes } = await reconciled(install);
    return {
      startMs,
      reconcileMs: reconcile.durationMs,
      residentMB: residentBytes / 1e6,
      cleaned: reconcile.cleaned.length,
    };
  };
  const base = "no VMs";
  const lost = `${count}, ${crashed} of them lost in a crash`;
  const measured = await collect(rounds, {
    [base]: start(none),
    [`${count} stopped`]: start(many),
    [lost]: start(many, () => crashVms(many, crashed)),
  });
  if (measured[lost].some(({ cleaned }) => cleaned !== crashed))
    throw new Error("not every lost VM was cleaned up");
  const show = (title, pick, unit) =>
    table(title, summarise(measured, pick), base, unit);
  show("Daemon begins, until its first answer", ({ startMs }) => startMs);
  show("  of it reconcile", ({ reconcileMs }) => reconcileMs);
  show("Memory of that daemon", ({ residentMB }) => residentMB, "MB");
}

/** What the daemon says of itself, once it has looked at all VMs. */
async function reconciled(install) {
  for (;;) {
    const facts = JSON.parse(await install.api("GET", "/v1/daemon"));
    if (facts.reconcile) return facts;
    await sleep(50);
  }
}
