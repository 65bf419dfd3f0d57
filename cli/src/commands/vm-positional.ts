import type { PositionalDefinition } from "./command.js";

/** The one VM that a command is about. */
export const vmPositional: PositionalDefinition = {
  name: "vm",
  describe: "name, id or unique prefix",
  required: true,
  completes: "vm",
};

/** The VMs that a command serves side by side. */
export const vmsPositional: PositionalDefinition = {
  name: "vm",
  describe: "names, ids or unique prefixes",
  required: true,
  many: true,
  completes: "vm",
};
