import {
  CommandFailedError,
  ToolMissingError,
  type Command,
  type CommandResult,
  type CommandRunner,
} from "../contracts/commands.js";
import { CancelledError } from "../errors.js";

/** What a program answers; what is left out is status 0 and no output. */
export type ScriptedResult = Partial<CommandResult>;

/** Plays one program: may have effects, such as making the file that the real one would make. */
export type ProgramScript = (
  command: Command,
) => ScriptedResult | undefined | Promise<ScriptedResult | undefined>;

/**
 * A {@link CommandRunner} without processes: programs are scripts, those without one are not installed. Keeps every command.
 */
export class FakeCommandRunner implements CommandRunner {
  readonly commands: Command[] = [];
  readonly #programs = new Map<string, ProgramScript>();

  /** Installs a program, in place of an earlier one of that name. */
  install(program: string, script: ProgramScript = () => undefined): this {
    this.#programs.set(program, script);
    return this;
  }

  /** Takes every program away. */
  uninstallAll(): void {
    this.#programs.clear();
  }

  /** Plays a program without keeping the command: for scripts of programs that run another one. */
  async play(command: Command): Promise<CommandResult> {
    const script = this.#programs.get(programOf(command.file));
    if (!script) throw new ToolMissingError(command.file);
    const result = {
      exitCode: 0,
      stdout: "",
      stderr: "",
      ...(await script(command)),
    };
    if (!(command.okExitCodes ?? [0]).includes(result.exitCode))
      throw new CommandFailedError(
        command,
        `exited with status ${String(result.exitCode)}`,
        result,
      );
    return result;
  }

  async run(command: Command): Promise<CommandResult> {
    this.commands.push(command);
    if (command.signal?.aborted === true)
      throw new CancelledError(command.file, command.signal.reason);
    return this.play(command);
  }

  async find(program: string): Promise<string | undefined> {
    return this.#programs.has(program) ? `/usr/sbin/${program}` : undefined;
  }
}

function programOf(file: string): string {
  return file.split("/").at(-1) ?? file;
}
