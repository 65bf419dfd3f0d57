import { ReportedError } from "@banger/core/client";
import { renderTable } from "../render/table.js";
import { jsonOption, type CommandDefinition } from "./command.js";
import { installMissing, readRequirements } from "./host-packages.js";

export const setup: CommandDefinition = {
  words: ["setup"],
  summary: "Install the host packages that banger needs",
  options: {
    yes: {
      type: "boolean",
      alias: "y",
      describe: "install without asking",
    },
    ...jsonOption,
  },
  examples: [
    ["setup", "list what is missing, ask, install it"],
    ["setup --yes", "the same without asking"],
  ],
  run: async (args, cli) => {
    const before = await readRequirements(cli);
    const complete = before.missing.length === 0;
    if (!complete && !(await installMissing(cli, before, args.flag("yes"))))
      throw new ReportedError({
        code: "ERR_HOST_PACKAGES_MISSING",
        kind: "unavailable",
        message: `${before.missing.length} host packages are missing and nothing was installed`,
        hint: `Run: banger setup --yes, or: ${before.install.join(" ")}`,
      });
    const after = complete ? before : await readRequirements(cli);
    if (after.missing.length > 0)
      throw new ReportedError({
        code: "ERR_SETUP_FAILED",
        kind: "failed",
        message: `still missing: ${after.missing.map(({ program }) => program).join(", ")}`,
        hint: `Run: ${after.install.join(" ")}`,
      });
    return {
      json: after,
      text: () =>
        renderTable(
          after.present.map(({ program, packageName, purpose }) => [
            cli.style.green("ok"),
            program,
            packageName,
            cli.style.dim(purpose),
          ]),
        ),
    };
  },
};
