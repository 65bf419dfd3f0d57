import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import {
  CommandFailedError,
  ToolMissingError,
  type Command,
  type CommandResult,
  type CommandRunner,
} from "@banger/core";

const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/** Runs the real programs, and keeps the commands. */
export class RealCommands implements CommandRunner {
  readonly commands: Command[] = [];
  readonly #env: Readonly<Record<string, string>>;

  constructor(env: Readonly<Record<string, string>> = {}) {
    this.#env = env;
  }

  run(command: Command): Promise<CommandResult> {
    this.commands.push(command);
    const { file, args, timeoutMs, signal, okExitCodes = [0] } = command;
    return new Promise((resolve, reject) => {
      const env = { ...process.env, ...this.#env, PATH: path };
      const options = {
        env,
        timeout: timeoutMs,
        ...(signal ? { signal } : {}),
      };
      execFile(file, args, options, (error, stdout, stderr) => {
        if (error?.code === "ENOENT") return reject(new ToolMissingError(file));
        const exitCode = error === null ? 0 : Number(error.code);
        if (okExitCodes.includes(exitCode))
          return resolve({ exitCode, stdout, stderr });
        reject(
          new CommandFailedError(
            command,
            `exited with ${String(error?.code)}`,
            { stderr },
          ),
        );
      });
    });
  }

  async find(program: string): Promise<string | undefined> {
    for (const directory of path.split(":")) {
      const candidate = `${directory}/${program}`;
      if (
        await access(candidate, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return candidate;
    }
    return undefined;
  }
}
