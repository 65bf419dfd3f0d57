import { runDaemon } from "../../cli/src/daemon/run-daemon.js";
import { interceptContracts } from "@banger/core/testing";
import { markIntervals } from "./background.js";
import { interceptImageBuilder } from "./intercept-image-builder.js";
import { killDirectoryVariable, KillFiles } from "./kill-plan.js";
import { KillSwitch } from "./kill-switch.js";

// The daemon as it is, with a switch before every call that touches the host.
const directory = process.env[killDirectoryVariable];
if (directory === undefined) throw new Error(`no ${killDirectoryVariable}`);
const killSwitch = new KillSwitch(new KillFiles(directory));
markIntervals();
process.on("SIGUSR2", () => {
  killSwitch.arm();
});
await runDaemon({
  decorate: (root) => {
    interceptContracts(root, killSwitch);
    interceptImageBuilder(root, killSwitch);
  },
});
process.exit(0);
