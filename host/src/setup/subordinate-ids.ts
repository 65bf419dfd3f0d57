import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { hasErrorCode } from "../files/error-code.js";

/** What a user needs to build an image without root. @see subuid(5), subgid(5) */
const idFiles = ["/etc/subuid", "/etc/subgid"] as const;

/** Fewest ids that hold every user of a Debian tree, `nobody` (65534) included. */
const leastIds = 65_536;

/** Does a text in the form of subuid(5) give a user, by name or uid, enough ids? Pure. */
export function hasIdRange(text: string, user: string, uid: number): boolean {
  return findIdRange(text, user, uid) !== undefined;
}

/** Ids that a user may give away. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** The first range that is large enough. Pure. */
function findIdRange(
  text: string,
  user: string,
  uid: number,
): IdRange | undefined {
  for (const line of text.split("\n")) {
    const [owner, ...numbers] = line.split(":");
    const [first = 0, count = 0] = numbers.map(Number);
    const isOurs = owner === user || owner === String(uid);
    const isWhole = [first, count].every(Number.isSafeInteger);
    if (isOurs && isWhole && first > 0 && count >= leastIds)
      return { first, count };
  }
  return undefined;
}

/** The same from the host's own file. */
export async function readIdRange(
  file: (typeof idFiles)[number],
  user: string,
  uid: number,
): Promise<IdRange | undefined> {
  return findIdRange(await read(file), user, uid);
}

/** What this user lacks of subordinate ids, and what helps; `undefined` when nothing. */
export async function subordinateIdProblem(
  files: readonly string[] = idFiles,
  { username, uid }: { username: string; uid: number } = userInfo(),
): Promise<{ problem: string; fix: string } | undefined> {
  const lacking: string[] = [];
  for (const file of files)
    if (!hasIdRange(await read(file), username, uid)) lacking.push(file);
  if (lacking.length === 0) return undefined;
  return {
    problem: `${lacking.join(" and ")} give ${username} no range of ${String(leastIds)} ids, so the image cannot be built without root`,
    fix: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${username}`,
  };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return "";
    throw error;
  }
}
