import type { PositionalDefinition } from "./command.js";

/** The one VM that a command is about. */
export const vmPositional: PositionalDefinition = {
  name: "vm",
  describe: "name, id or unique prefix",
  required: true,
  completes: "vm",
};
