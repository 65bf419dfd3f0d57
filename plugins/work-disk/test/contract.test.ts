import { readFileSync } from "node:fs";
import { appendFile, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import {
  describePluginContract,
  type ContractHost,
} from "@banger/core/testing";
import { plugin } from "../src/index.js";
import { seedTar } from "./seed-tar.js";

const packageJson: unknown = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8"),
);

/** The programs as far as the plugin can tell them from the real ones: mke2fs writes into the file that its last argument names. */
async function arrange(host: ContractHost): Promise<void> {
  const { commands, directory } = host;
  const seed = `${directory}/seed.tar`;
  await writeFile(seed, await seedTar([{ name: ".bashrc", content: "hello" }]));
  host.image = {
    ...host.image,
    files: { ...host.image.files, workSeed: seed },
  };
  commands
    .install("unshare", async (command) => {
      const [file = "", ...args] = command.args.slice(3);
      return file === "true"
        ? undefined
        : commands.play({ ...command, file, args });
    })
    .install("mke2fs", async ({ args }) => {
      await appendFile(args.at(-1) ?? "", "mke2fs was here");
      return undefined;
    })
    .install("debugfs", async ({ args }) => {
      await appendFile(args.at(-1) ?? "", "debugfs was here");
      return undefined;
    })
    .install("e2fsck")
    .install("resize2fs")
    .install("git", ({ args }) => ({ stdout: `my ${args.at(-1) ?? ""}\n` }));
}

describePluginContract(plugin, {
  runner: { describe, it },
  packageJson,
  section: { seed: true },
  arrange,
});
