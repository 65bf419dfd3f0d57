// Checks every package that could be published as publint sees it. Needs the build.
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const root = resolve(import.meta.dirname, "..");
const folders = [
  "core",
  "host",
  "cli",
  ...readdirSync(join(root, "plugins")).map((name) => `plugins/${name}`),
];
let complaints = 0;
for (const folder of folders) {
  const manifest = join(root, folder, "package.json");
  if (!existsSync(manifest)) continue;
  const { messages, pkg } = await publint({
    pkgDir: join(root, folder),
    strict: true,
    level: "warning",
  });
  for (const message of messages) {
    complaints += 1;
    console.error(
      `${folder}: ${formatMessage(message, pkg, { color: false })}`,
    );
  }
}
console.log(`${folders.length} packages, ${complaints} complaints`);
process.exitCode = complaints === 0 ? 0 : 1;
