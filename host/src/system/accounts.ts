import type { CommandRunner } from "@banger/core";

/** An account of the host. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** absolute */
  readonly home: string;
}

/** Finds an account wherever the host keeps them. @returns `undefined` when there is none of this name */
export async function findAccount(
  commands: CommandRunner,
  name: string,
  signal: AbortSignal,
): Promise<Account | undefined> {
  // getent(1): 2 is for a key that is not there.
  const { stdout } = await commands.run({
    file: "getent",
    args: ["passwd", "--", name],
    okExitCodes: [0, 2],
    timeoutMs: 30_000,
    signal,
  });
  const [found, , uid = "", gid = "", , home = ""] =
    stdout.split("\n")[0]?.split(":") ?? [];
  // A number finds an account too, whose name is another.
  if (found !== name || !/^\d+$/.test(uid) || !/^\d+$/.test(gid))
    return undefined;
  return { name, uid: Number(uid), gid: Number(gid), home };
}
