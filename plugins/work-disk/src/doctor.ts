import type { Check, CommandRunner } from "@banger/core";
import type { WorkDiskConfig } from "./config.js";
import { readGitIdentity, type GitIdentity } from "./git-identity.js";
import {
  findMissing,
  stepTools,
  toolsFix,
  userNamespaceFix,
  userNamespaceProblem,
} from "./tools.js";

/** Looks at what disks are made with. Reads only. */
export async function workDiskChecks(
  deps: {
    commands: CommandRunner;
    hostFacts: { isRoot: boolean };
    config: WorkDiskConfig;
  },
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { commands, hostFacts, config } = deps;
  const tools = [...stepTools.make, ...stepTools.grow];
  const missing = await findMissing(commands, tools);
  const problem = hostFacts.isRoot
    ? undefined
    : await userNamespaceProblem(commands, signal);
  const identity = config.git_identity
    ? await readGitIdentity(commands, signal)
    : undefined;
  return [
    missing.length === 0
      ? {
          id: "work-disk.tools",
          title: "tools that make and grow disks",
          status: "pass",
          detail: `${tools.join(", ")} are installed`,
        }
      : {
          id: "work-disk.tools",
          title: "tools that make and grow disks",
          status: "fail",
          detail: `not installed: ${missing.join(", ")}`,
          fix: toolsFix,
        },
    namespaceCheck(hostFacts.isRoot, problem),
    identityCheck(identity),
  ];
}

function namespaceCheck(isRoot: boolean, problem: string | undefined): Check {
  const id = "work-disk.userns";
  const title = "files of root without being root";
  if (problem !== undefined)
    return {
      id,
      title,
      status: "fail",
      detail: problem,
      fix: userNamespaceFix,
    };
  const detail = isRoot
    ? "the daemon is root and needs no user namespace"
    : "user namespaces work";
  return { id, title, status: "pass", detail };
}

/** Pure; `undefined`: switched off. */
function identityCheck(identity: GitIdentity | undefined): Check {
  const id = "work-disk.git-identity";
  const title = "who commits in the guests";
  if (!identity)
    return { id, title, status: "pass", detail: "git_identity is off" };
  const { name, email } = identity;
  if (name !== undefined && email !== undefined)
    return { id, title, status: "pass", detail: `${name} <${email}>` };
  const lacking = [
    ...(name === undefined ? ["user.name"] : []),
    ...(email === undefined ? ["user.email"] : []),
  ];
  return {
    id,
    title,
    status: "warn",
    detail: `the global git configuration has no ${lacking.join(" and no ")}; git in a guest will ask for it`,
    fix: `git config --global ${lacking[0] ?? ""} VALUE`,
  };
}
