import { basename } from "node:path";
import { endGroup } from "../commands/process-group.js";
import { findByArguments, processGroupOf } from "../vmm/process-identity.js";

/** Programs that a build runs on its work directory, and those that run them. */
const buildPrograms = new Set(
  "apt-get dpkg mke2fs mmdebstrap mv perl rm setpriv sh tar unshare".split(" "),
);

/**
 * Ends every process of a build, known by its work directory, whose name is random and used once. Another program that looks at the
 * directory is left alone, and so is a build program that somebody began in a shell: ours lead a session of their own. Idempotent.
 */
export async function endBuild(workDirectory: string): Promise<void> {
  const processes = await findByArguments(
    ([program = "", ...args]) =>
      buildPrograms.has(basename(program)) &&
      args.some((arg) => arg.includes(workDirectory)),
  );
  const own = await processGroupOf(process.pid);
  const groups = new Set<number>();
  for (const { pid } of processes) {
    const found = await processGroupOf(pid);
    if (found === undefined || found.group <= 1) continue;
    // The leader itself may be dead already: what it started keeps group and session.
    if (found.group === found.session && found.group !== own?.group)
      groups.add(found.group);
  }
  for (const group of groups) await endGroup(group);
}
