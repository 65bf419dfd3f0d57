import { join } from "node:path";
import { provideFirecracker } from "../firecracker/provide-firecracker.js";
import { e2eArguments } from "./e2e-files.js";
import { FirecrackerRun } from "./firecracker-run.js";
import { unmetNeed } from "./needs.js";

// `npm run test:fc-contract`: the e2e suite on the driver for Firecracker, over the contract server.
const need = unmetNeed();
if (need === undefined) {
  process.exitCode = await FirecrackerRun.with(async (run) => {
    const programs = await provideFirecracker(join(run.directory, "contract"));
    const args = e2eArguments(programs, process.argv.slice(2));
    return run.node(args, programs);
  });
} else {
  console.log(`test:fc-contract did not run: ${need}`);
}
