import type { AgentExecAnswer, AgentExecBody } from "@banger/host/client";
import { printTo } from "../terminal/print-to.js";
import { exitStatus } from "../terminal/session.js";
import type { Arguments } from "./arguments.js";
import type { Cli, OptionDefinition, Outcome } from "./command.js";
import { operate } from "./operate.js";
import { UsageError } from "./usage-error.js";

/** Option of a command that runs one in the guest, for guests that SSH does not reach. */
export const agentOption = {
  agent: {
    type: "boolean",
    describe:
      "through the guest's agent, for one whose network or SSH is broken: no terminal, no input, and the output, at most 1 MiB, only at its end",
  },
} satisfies Record<string, OptionDefinition>;

/** Runs the command through the agent of the VM that the arguments name. */
export async function execByAgent(args: Arguments, cli: Cli): Promise<Outcome> {
  for (const name of ["tty", "cwd"])
    if (args.flag(name) || args.string(name) !== undefined)
      throw new UsageError(`--${name} cannot be had with --agent`);
  const [program = "", ...rest] = args.guestCommand ?? [];
  const body: AgentExecBody = { argv: [program, ...rest] };
  const vm = encodeURIComponent(args.required("vm"));
  const { value } = await operate<AgentExecAnswer>(cli, {
    method: "POST",
    path: `/v1/vms/${vm}/agent/exec`,
    body,
  });
  const { stdout, stderr, interrupted } = cli.io;
  await printTo(stdout, Buffer.from(value.stdout, "base64"), interrupted);
  await printTo(stderr, Buffer.from(value.stderr, "base64"), interrupted);
  return { exitCode: exitStatus(value) };
}
