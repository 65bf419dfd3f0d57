import type { CheckSection } from "@banger/core/client";
import { renderChecks } from "../render/checks.js";
import { jsonOption, type CommandDefinition } from "./command.js";

export const doctor: CommandDefinition = {
  words: ["doctor"],
  summary: "Check the host and every enabled plugin; status 1 when one fails",
  options: jsonOption,
  examples: [
    ["doctor", "what was looked at, what was seen, what helps"],
    ["doctor --json", "the same for scripts; check ids are stable"],
  ],
  run: async (_args, { client, io, style }) => {
    const sections = await client.read<readonly CheckSection[]>("/v1/doctor", {
      signal: io.interrupted,
    });
    const failed = sections.some(({ checks }) =>
      checks.some(({ status }) => status === "fail"),
    );
    return {
      json: sections,
      text: () => renderChecks(sections, style),
      exitCode: failed ? 1 : 0,
    };
  },
};
