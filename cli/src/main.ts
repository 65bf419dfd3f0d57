import { join } from "node:path";
import { nodeFlags } from "@banger/host/client";
import { readBuild } from "./build-id.js";
import { ProcessIo } from "./process-io.js";
import { runCli } from "./run-cli.js";

const io = new ProcessIo();

void runCli(process.argv.slice(2), {
  io,
  build: readBuild(import.meta.dirname),
  daemonArgs: [...nodeFlags, join(import.meta.dirname, "bangerd.js")],
  systemProgram: join(import.meta.dirname, "banger-system.js"),
}).then(async (status) => {
  // An input that is still open would keep the process.
  process.exit(await io.close(status));
});
