import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { e2eArguments } from "./e2e-files.js";
import { FirecrackerRun, type FirecrackerPrograms } from "./firecracker-run.js";
import { findProgram, isExecutable, unmetNeed } from "./needs.js";

// `npm run test:firecracker`: the e2e suite on a real Firecracker, where it is installed and KVM runs its guests.
process.exitCode = await main();

async function main(): Promise<number> {
  const firecracker = installed("firecracker", "FIRECRACKER_BIN");
  const jailer = installed("jailer", "JAILER_BIN");
  describe("firecracker", firecracker);
  describe("jailer", jailer);
  console.log(`/dev/kvm: ${existsSync("/dev/kvm") ? "there" : "not there"}`);
  if (firecracker === undefined) return didNotRun("there is no Firecracker");
  if (!existsSync("/dev/kvm")) return didNotRun("there is no /dev/kvm");
  const need = unmetNeed();
  if (need !== undefined) return didNotRun(need);
  return FirecrackerRun.with((run) => test(run, { firecracker, jailer }));
}

async function test(
  run: FirecrackerRun,
  programs: FirecrackerPrograms,
): Promise<number> {
  const problem = await run.problem(programs);
  if (problem?.includes("ERR_KVM_UNUSABLE") === true) {
    console.log(problem);
    return didNotRun("KVM does not run guests here");
  }
  if (problem !== undefined) {
    console.log(`a guest does not run:\n${problem}`);
    return 1;
  }
  console.log("KVM: a guest has run");
  if (programs.jailer === undefined)
    console.log("without the tests of the jail: there is no jailer");
  // Those choose the release themselves.
  const args = ["--exclude", "**/contract-*.test.ts", ...process.argv.slice(2)];
  return run.node(e2eArguments(programs, args), programs);
}

/** @returns exit status: this is no failure, and whoever wants to know reads the line */
function didNotRun(reason: string): number {
  console.log(`test:firecracker did not run: ${reason}`);
  return 0;
}

function installed(name: string, variable: string): string | undefined {
  const named = process.env[variable];
  if (named === undefined) return findProgram(name);
  if (isExecutable(named)) return named;
  throw new Error(`${variable} names no executable: ${named}`);
}

function describe(name: string, path: string | undefined): void {
  if (path === undefined) {
    console.log(`${name}: not installed`);
    return;
  }
  const [version = ""] = execFileSync(path, ["--version"], {
    encoding: "utf8",
  }).split("\n");
  console.log(`${name}: ${path}, ${version}`);
}
