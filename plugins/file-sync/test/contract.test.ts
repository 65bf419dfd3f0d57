import { readFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { describePluginContract } from "@banger/core/testing";
import { plugin } from "../src/index.js";

const packageJson: unknown = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

describePluginContract(plugin, {
  runner: { describe, it },
  packageJson,
  section: {
    entries: [
      { host: "~/.aws", guest: "~/.aws" },
      { host: "~/.netrc", guest: "/root/.netrc", mode: "0600" },
      { host: "~/missing", guest: "~/missing" },
    ],
  },
  arrange: async ({ homeDirectory }) => {
    await mkdir(`${homeDirectory}/.aws`);
    await writeFile(`${homeDirectory}/.aws/config`, "[default]\n");
    await symlink("/etc/passwd", `${homeDirectory}/.aws/link`);
    await writeFile(`${homeDirectory}/.netrc`, "machine example\n");
  },
});
