import {
  CommandFailedError,
  ToolMissingError,
  type CommandRunner,
} from "@banger/core";

/** Who commits; either may be missing. */
export interface GitIdentity {
  readonly name?: string;
  readonly email?: string;
}

const mostCharacters = 1024;

/** A value that may go into a configuration file: not empty, bounded, one line, nothing invisible. Pure. */
export function usableValue(text: string): string | undefined {
  const value = text.replace(/\n$/, "");
  const fits = value.trim() !== "" && value.length <= mostCharacters;
  return fits && !/\p{Cc}/u.test(value) ? value : undefined;
}

/**
 * `[user]` section with the identity, every value quoted; empty when there is none. Pure.
 * @see git-config(1), "Syntax": inside quotes only `"` and `\` must be escaped
 */
export function renderGitIdentity(identity: GitIdentity): string {
  const lines = Object.entries({
    name: identity.name,
    email: identity.email,
  }).flatMap(([key, value]) =>
    value === undefined
      ? []
      : [`\t${key} = "${value.replace(/["\\]/g, "\\$&")}"\n`],
  );
  return lines.length === 0 ? "" : `[user]\n${lines.join("")}`;
}

/** Keys of the `[user]` section that a git configuration sets already. Pure; an approximation that is enough for a seed's file. */
export function setKeys(config: string): ReadonlySet<string> {
  const found = new Set<string>();
  let section = "";
  for (const line of config.split("\n")) {
    const heading = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line);
    if (heading) section = (heading[1] ?? "").toLowerCase();
    const key = /^\s*(?:\[[^\]]*\]\s*)?([A-Za-z][A-Za-z0-9-]*)\s*=/.exec(line);
    if (key && section === "user") found.add((key[1] ?? "").toLowerCase());
  }
  return found;
}

/**
 * Reads the identity of the host's global git configuration. No git, no values or a broken configuration: an empty identity.
 * @throws CancelledError
 */
export async function readGitIdentity(
  commands: CommandRunner,
  signal: AbortSignal,
): Promise<GitIdentity> {
  const get = async (key: string): Promise<string | undefined> => {
    try {
      const { stdout } = await commands.run({
        file: "git",
        args: ["config", "--global", "--get", key],
        timeoutMs: 5_000,
        maxOutputBytes: 64 * 1024,
        signal,
        // 1: the key is not set
        okExitCodes: [0, 1],
      });
      return usableValue(stdout);
    } catch (error) {
      if (error instanceof ToolMissingError) return undefined;
      if (error instanceof CommandFailedError) return undefined;
      throw error;
    }
  };
  const name = await get("user.name");
  const email = await get("user.email");
  return {
    ...(name === undefined ? {} : { name }),
    ...(email === undefined ? {} : { email }),
  };
}
