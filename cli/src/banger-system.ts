#!/usr/bin/env node
import { reportError } from "@banger/core";
import { runSystemProgram } from "./system/run-system-program.js";

// The command line, which loads no package, starts this for `banger system …`: steps go to stderr, the answer is the only line on stdout.
try {
  const value = await runSystemProgram(process.argv.slice(2));
  process.stdout.write(`${JSON.stringify({ value })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ error: reportError(error) })}\n`);
  process.exitCode = 1;
}
