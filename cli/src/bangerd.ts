#!/usr/bin/env node
import { reportError } from "@banger/core";
import { runDaemon } from "./daemon/run-daemon.js";

try {
  await runDaemon();
  process.exit(0);
} catch (error) {
  // The client that started this daemon reads the last line.
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? "") : String(error)}\n`,
  );
  process.stderr.write(`${JSON.stringify(reportError(error))}\n`);
  process.exit(1);
}
