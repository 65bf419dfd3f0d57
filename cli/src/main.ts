import { join } from "node:path";
import { readBuild } from "./build-id.js";
import { ProcessIo } from "./process-io.js";
import { runCli } from "./run-cli.js";

const io = new ProcessIo();

void runCli(process.argv.slice(2), {
  io,
  build: readBuild(import.meta.dirname),
  daemonArgs: [
    // Small heaps: the daemon idles nearly all of its time.
    "--max-semi-space-size=1",
    "--optimize-for-size",
    "--single-threaded-gc",
    "--v8-pool-size=1",
    join(import.meta.dirname, "bangerd.js"),
  ],
}).then(async (status) => {
  // An input that is still open would keep the process.
  process.exit(await io.close(status));
});
