import { endGroup } from "../commands/process-group.js";
import { findByArguments, processGroupOf } from "../vmm/process-identity.js";

/**
 * Ends every process of a build, known by its work directory, whose name is random and used once. Whatever else was started on that
 * directory ends too. Idempotent.
 */
export async function endBuild(workDirectory: string): Promise<void> {
  const processes = await findByArguments((args) =>
    args.some((arg) => arg.includes(workDirectory)),
  );
  const groups = new Set<number>();
  for (const { pid } of processes) {
    const group = await processGroupOf(pid);
    if (group !== undefined && group > 1) groups.add(group);
  }
  for (const group of groups) await endGroup(group);
}
