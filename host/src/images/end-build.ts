import { endGroup } from "../commands/process-group.js";
import { findByArguments, processGroupOf } from "../vmm/process-identity.js";

/** Ends every process of a build, known by its work directory, whose name is random and used once. */
export async function endBuild(workDirectory: string): Promise<void> {
  const processes = await findByArguments((args) =>
    args.some((arg) => arg.includes(workDirectory)),
  );
  const groups = new Set<number>();
  for (const { pid } of processes) {
    const group = await processGroupOf(pid);
    // The daemon itself is in no build's group; a program that somebody else starts to look at the folder may be.
    if (
      group !== undefined &&
      group > 1 &&
      group !== (await processGroupOf(process.pid))
    ) {
      groups.add(group);
    }
  }
  for (const group of groups) await endGroup(group);
}
