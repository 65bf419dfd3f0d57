#!/usr/bin/env node
import { reportError } from "@banger/core";
import { runRootHelper } from "./root/run-root-helper.js";

try {
  await runRootHelper();
  process.exit(0);
} catch (error) {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? "") : String(error)}\n`,
  );
  process.stderr.write(`${JSON.stringify(reportError(error))}\n`);
  process.exit(1);
}
