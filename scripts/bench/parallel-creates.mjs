// Eight creates at once against one.
import { cpus } from "node:os";
import { interleave, table } from "./measure.mjs";

const together = 8;

export async function parallelCreates(install, quick) {
  const disk = "64M";
  const viaApi = (name) =>
    install.api("POST", "/v1/vms", { name, start: false, diskSize: disk });
  const viaCli = (...command) => {
    const [words, options] = command;
    return (name) =>
      install.bangerBeside("vm", words, "--name", name, ...options);
  };
  const create = viaCli("create", ["--no-start", "--disk-size", disk]);
  const size = ["--memory", "256M", "--vcpu", "1", "--disk-size", disk];
  const run = viaCli("run", ["-d", ...size]);

  const compare = async (title, rounds, make, unit) => {
    const one = "1 alone";
    const many = `${together} at once`;
    const results = await interleave(rounds, {
      [one]: () => atOnce(install, 1, make),
      [many]: () => atOnce(install, together, make),
    });
    table(title, results, one, unit);
    const share = results[many].median / results[one].median / together;
    console.log(
      `  each of the ${together}: x${share.toFixed(2)} of one alone, on ${cpus().length} cores`,
    );
  };
  // Also the warm-up: the first start of an install measures what its host can do.
  await atOnce(install, 1, run);
  await compare("vm create --no-start, API", quick ? 5 : 25, viaApi);
  await compare("vm create --no-start, CLI", quick ? 3 : 11, create);
  await compare(
    "vm run -d, until the guest is ready (aim: each of 8 at most what one alone takes)",
    quick ? 1 : 3,
    run,
    "s",
  );
  const left = install.vmNames();
  if (left.length > 0) throw new Error(`VMs are left: ${left.join(", ")}`);
}

/** @returns ms for all of them, their removal left out */
async function atOnce(install, number, make) {
  const names = Array.from({ length: number }, (_, index) => `many-${index}`);
  const begun = performance.now();
  await Promise.all(names.map(make));
  const elapsed = performance.now() - begun;
  install.banger("vm", "delete", ...names);
  return elapsed;
}
