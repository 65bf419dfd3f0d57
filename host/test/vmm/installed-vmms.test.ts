import { chmod, mkdir, writeFile } from "node:fs/promises";
import {
  PrivilegeMissingError,
  type BangerError,
  type Privileged,
} from "@banger/core";
import {
  fakeInstall,
  FakePrivileged,
  memoryLogger,
} from "@banger/core/testing";
import { expect, it } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { resolvePaths } from "../../src/paths.js";
import { installedVmms } from "../../src/vmm/installed-vmms.js";
import type { VmmProgram } from "../../src/vmm/vmm-drivers.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const never = new AbortController().signal;

/** Firecracker as it counts for root, and for others. */
async function looksAt(
  home: string,
  kind: Privileged["kind"],
  problem?: BangerError,
): Promise<VmmProgram> {
  const program = `${home}/firecracker`;
  await writeFile(program, "#!/bin/sh\necho Firecracker v1.17.0\n", {
    mode: 0o755,
  });
  const commands = new ExecaCommandRunner();
  const paths = resolvePaths({ BANGER_HOME: home });
  const { stateDirectory } = paths;
  const install = fakeInstall({ owner: { uid: 0, gid: 0 }, stateDirectory });
  const privileged = new FakePrivileged(commands, install);
  privileged.kind = kind;
  privileged.missing = problem;
  const [firecracker] = installedVmms({
    ...{ commands, privileged, paths },
    logger: memoryLogger(),
    firecracker: {
      program,
      jailer: program,
      jailerEnabled: true,
      jailBase: `${home}/jails/base`,
    },
  });
  if (!firecracker) throw new Error("no Firecracker");
  return firecracker.program(never);
}

it("refuses Firecracker for root before a VM is named a jail that others could change", async () => {
  const home = await temporaryDirectory();
  await mkdir(`${home}/jails`);
  expect(await looksAt(home, "in-process")).toEqual({
    path: `${home}/firecracker`,
  });
  await chmod(`${home}/jails`, 0o777);
  expect(await looksAt(home, "in-process")).toEqual({
    path: `${home}/firecracker`,
    problem: `${home}/jails can be changed by others`,
    fix: expect.stringContaining("vmm.jailer_chroot_base") as string,
  });
  expect(await looksAt(home, "none")).toEqual({ path: `${home}/firecracker` });
});

it("needs a root helper that answers, and jails where root has them", async () => {
  const home = await temporaryDirectory();
  const asleep = new PrivilegeMissingError("the root helper does not answer", {
    hint: "Start it",
  });
  expect(await looksAt(home, "helper", asleep)).toMatchObject({
    problem: "the root helper does not answer",
    fix: "Start it",
  });
  const jails = `${home}/state/jail`;
  // Where root says it is, not where a user's configuration does.
  await mkdir(jails, { recursive: true });
  await chmod(jails, 0o777);
  expect(await looksAt(home, "helper")).toMatchObject({
    problem: `${jails} can be changed by others`,
  });
  await chmod(jails, 0o755);
  expect(await looksAt(home, "helper")).toEqual({
    path: `${home}/firecracker`,
  });
});
