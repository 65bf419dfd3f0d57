// Starting eight VMs with a warm pool of TAP devices against none, in a network namespace of its own. Whole starts are dominated by the
// guests' boots, above all where they are emulated, so what the pool is about is measured alone, too.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./install.mjs";

/** As `ip netns exec` does: what is below /sys belongs to the network namespace that it was mounted in. */
const enter = `
unified=$(stat -f -c %t /sys/fs/cgroup)
mount -t sysfs none /sys
[ "$unified" != 63677270 ] || mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
exec "$@"`;

export function tapPool(images, { quick, full }) {
  if (process.getuid() !== 0) {
    console.log("\ntap-pool: not measured, network namespaces need root");
    return;
  }
  const program = join(root, "scripts/bench/tap-pool-program.mjs");
  const options = [quick ? "--quick" : "", full ? `--full=${images}` : ""];
  const inside = [process.execPath, program, ...options.filter(Boolean)];
  const { status, error } = spawnSync(
    "unshare",
    ["--net", "--mount", "sh", "-c", enter, "sh", ...inside],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  if (error) throw error;
  if (status !== 0) throw new Error(`tap-pool ended with ${status}`);
}
