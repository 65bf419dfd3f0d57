import { readFileSync } from "node:fs";
import { join } from "node:path";

// Placeholder until the real command line is here.
const manifest = readFileSync(
  join(import.meta.dirname, "../package.json"),
  "utf8",
);
const { version } = JSON.parse(manifest) as { version: string };
process.stdout.write(`${version}\n`);
