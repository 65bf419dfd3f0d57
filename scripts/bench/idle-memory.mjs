// What a daemon without work takes.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export async function idleMemory(install) {
  install.banger("daemon", "stop");
  install.banger("ps");
  await sleep(5_000);
  const { pid } = JSON.parse(install.banger("daemon", "status", "--json"));
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
