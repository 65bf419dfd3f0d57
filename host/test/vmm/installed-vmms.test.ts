import { chmod, mkdir, writeFile } from "node:fs/promises";
import { memoryLogger } from "@banger/core/testing";
import { expect, it } from "vitest";
import { ExecaCommandRunner } from "../../src/commands/execa-command-runner.js";
import { readHostFacts } from "../../src/facts/host-facts.js";
import { resolvePaths } from "../../src/paths.js";
import { installedVmms } from "../../src/vmm/installed-vmms.js";
import type { VmmProgram } from "../../src/vmm/vmm-drivers.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const never = new AbortController().signal;

/** Firecracker as it counts for root, and for others. */
async function looksAt(home: string, isRoot: boolean): Promise<VmmProgram> {
  const program = `${home}/firecracker`;
  await writeFile(program, "#!/bin/sh\necho Firecracker v1.17.0\n", {
    mode: 0o755,
  });
  const [firecracker] = installedVmms({
    commands: new ExecaCommandRunner(),
    logger: memoryLogger(),
    hostFacts: { ...readHostFacts(), isRoot },
    paths: resolvePaths({ BANGER_HOME: home }),
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
  expect(await looksAt(home, true)).toEqual({ path: `${home}/firecracker` });
  await chmod(`${home}/jails`, 0o777);
  expect(await looksAt(home, true)).toEqual({
    path: `${home}/firecracker`,
    problem: `${home}/jails can be changed by others`,
    fix: expect.stringContaining("vmm.jailer_chroot_base") as string,
  });
  expect(await looksAt(home, false)).toEqual({ path: `${home}/firecracker` });
});
