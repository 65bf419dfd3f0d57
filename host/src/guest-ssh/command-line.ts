import { InvalidValueError, type GuestCommand } from "@banger/core";

/** Status of a command whose working directory is not there: banger's own failure, as everywhere in the CLI. */
const badDirectoryStatus = 125;

/** The kernel refuses one argument above 128 KiB (MAX_ARG_STRLEN), and sshd hands the whole line to the shell as one. */
const maxLineBytes = 120 * 1024;

/**
 * The line that root's login shell runs in the guest. It tells its process id on stderr behind `token`, changes the directory and
 * becomes the program, so the id is also that of the program's process group: sshd starts every session as a new one. Builtins
 * only, in POSIX syntax: under emulation every further process costs up to 100 ms.
 * @throws InvalidValueError for what cannot be handed over: NUL bytes, a relative directory, an empty or far too long command
 */
export function renderCommandLine(
  command: Pick<GuestCommand, "argv" | "cwd">,
  token: string,
): string {
  const { argv, cwd } = command;
  const line = [
    `echo ${token} $$ >&2`,
    ...(cwd === undefined ? [] : [renderDirectoryChange(cwd)]),
    argv === undefined ? `exec "$SHELL" -l` : renderProgram(argv),
  ].join("; ");
  if (line.includes("\0"))
    throw new InvalidValueError("a guest command contains a NUL byte");
  if (Buffer.byteLength(line) > maxLineBytes)
    throw new InvalidValueError(
      `a guest command is longer than ${maxLineBytes / 1024} KiB`,
      { hint: "Hand the data over on standard input" },
    );
  return line;
}

/**
 * The line that ends a process group: SIGTERM at once, then it looks after every line of input whether the group is gone, and at
 * the end of input SIGKILL. The host is the clock, so nothing but builtins runs.
 */
export function renderKillLine(processGroup: number): string {
  const group = `-${processGroup}`;
  return [
    `kill -TERM ${group} 2>/dev/null || exit 0`,
    `while read -r x; do kill -0 ${group} 2>/dev/null || exit 0; done`,
    `kill -KILL ${group} 2>/dev/null`,
    "exit 0",
  ].join("; ");
}

function renderDirectoryChange(cwd: string): string {
  if (!cwd.startsWith("/"))
    throw new InvalidValueError(
      `the working directory ${JSON.stringify(cwd)} is not absolute`,
    );
  const complaint = quote(
    `banger: cannot change to the directory ${cwd} in the guest`,
  );
  // printf, as some shells' echo reads backslashes.
  return `cd -- ${quote(cwd)} 2>/dev/null || { printf '%s\\n' ${complaint} >&2; exit ${badDirectoryStatus}; }`;
}

function renderProgram(argv: readonly string[]): string {
  const [program] = argv;
  if (program === undefined)
    throw new InvalidValueError("a guest command has no program");
  const separator = program.startsWith("-") ? "-- " : "";
  return `exec ${separator}${argv.map(quote).join(" ")}`;
}

/** In single quotes nothing is special but the single quote itself (POSIX, 2.2.2). */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
