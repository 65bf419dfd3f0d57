import type { CommandRunner, Finding, VmRecord } from "@banger/core";
import { diskStep, wantedBytes } from "./disk-plan.js";
import { readDiskFacts } from "./disk-file.js";
import { freeBytes, spaceFindings } from "./host-space.js";
import {
  findMissing,
  stepTools,
  toolsFix,
  userNamespaceFix,
  userNamespaceProblem,
} from "./tools.js";

/** Everything that speaks against preparing this VM's disk now. Reads only. */
export async function diskFindings(
  deps: { commands: CommandRunner; hostFacts: { isRoot: boolean } },
  vm: VmRecord,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const { commands, hostFacts } = deps;
  const step = diskStep(await readDiskFacts(vm), wantedBytes(vm));
  const findings: Finding[] = [];
  const missing = await findMissing(commands, stepTools[step]);
  if (missing.length > 0) {
    findings.push({
      id: "work-disk.tools",
      severity: "error",
      message: `to ${step} the disk at /root, ${missing.join(" and ")} must be installed`,
      fix: toolsFix,
    });
  }
  if (step === "make" && !hostFacts.isRoot) {
    const problem = await userNamespaceProblem(commands, signal);
    if (problem !== undefined)
      findings.push({
        id: "work-disk.userns",
        severity: "error",
        message: `without root, files of root are made in a user namespace, which does not work here: ${problem}`,
        fix: userNamespaceFix,
      });
  }
  const { directory } = vm.runtime;
  findings.push(...spaceFindings(await freeBytes(directory), directory));
  return findings;
}
