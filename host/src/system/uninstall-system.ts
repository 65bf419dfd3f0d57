import { rm, rmdir, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { JoinedError } from "@banger/core";
import { hasErrorCode } from "../files/error-code.js";
import { jailedProgram } from "../vmm/firecracker/jail-directory.js";
import { runAsOwner } from "./as-owner.js";
import { endHelper } from "./helper-pid-file.js";
import { newLinkSuffix } from "./install-system.js";
import { readInstallRecord, type InstallRecord } from "./install-record.js";
import { systemLayout } from "./layout.js";
import { ensureRunDirectories } from "./run-directories.js";
import type { SystemContext } from "./system-context.js";
import { ForeignFileError } from "./system-errors.js";
import {
  foreignData,
  isForeignCommand,
  isForeignUnit,
  isThere,
  namesIn,
} from "./system-plan.js";
import { Systemctl } from "./systemctl.js";
import { unitNames } from "./units.js";

/** Where the jailer makes cgroups, below the name of the program. @see Firecracker, docs/jailer.md */
const cgroupRoot = "/sys/fs/cgroup";

const keptCodes = ["ENOENT", "ENOTDIR", "ENOTEMPTY", "EBUSY", "EROFS"];

/** How much goes. */
export interface UninstallRequest {
  /** data too: configuration, VMs, images, downloads */
  readonly purge: boolean;
  /** removes what VMs and plugins have left in the host's network and elsewhere; called when nothing of the install runs any more */
  readonly removeTraces: (record: InstallRecord) => Promise<void>;
}

/** What became of it. */
export interface UninstallReport {
  /** paths, in the order in which they went */
  readonly removed: readonly string[];
  /** data that were kept */
  readonly kept: readonly string[];
}

/** Longest time that ending all VMs may take, ms. */
const stopVmsMs = 600_000;

/**
 * Removes the system install, or what one that was killed has left, and leaves the host as install found it. Runs to the end; only the
 * record stays when something failed, so that it can be run again. Idempotent.
 * @throws JoinedError of everything that failed
 */
export async function uninstallSystem(
  { purge, removeTraces }: UninstallRequest,
  context: SystemContext,
): Promise<UninstallReport> {
  const run = new Uninstall(context);
  const record = await readInstallRecord();
  if (record) {
    await run.attempt("end VMs", () => run.endVms(record));
    await run.attempt("end the services", () => run.endServices(record));
    await run.attempt("remove what VMs left", () => removeTraces(record));
  }
  if (record) await run.removeProgram();
  const { configDirectory, stateDirectory, cacheDirectory } = systemLayout;
  const data = [configDirectory, stateDirectory, cacheDirectory];
  if (purge) await run.removeData(data);
  // Made with the first jail and the first cgroup of one.
  for (const parent of [systemLayout.jailDirectory, cgroupRoot])
    await run.removeEmpty(join(parent, jailedProgram));
  await run.removeEmpty(systemLayout.jailDirectory);
  await run.removeEmpty(systemLayout.dataDirectory);
  run.throwFailures();
  await run.removeRecord(record);
  run.throwFailures();
  const kept: string[] = [];
  for (const path of data) if (await isThere(path)) kept.push(path);
  return { removed: run.removed, kept };
}

class Uninstall {
  readonly removed: string[] = [];
  readonly #context: SystemContext;
  readonly #failures: unknown[] = [];

  constructor(context: SystemContext) {
    this.#context = context;
  }

  throwFailures(): void {
    if (this.#failures.length === 0) return;
    throw new JoinedError(
      "the system install could not be removed whole; run it again when this is mended",
      this.#failures,
    );
  }

  async attempt(step: string, work: () => Promise<unknown>): Promise<void> {
    this.#context.onStep(step);
    try {
      await work();
    } catch (error) {
      this.#context.signal.throwIfAborted();
      this.#failures.push(error);
    }
  }

  /** Through the daemon, whose record of a VM has the names of everything that is the VM's. */
  async endVms(record: InstallRecord): Promise<void> {
    const { command } = systemLayout;
    const { owner, service } = record;
    if (!(await isUsable(command))) return;
    // After a reboot nobody else has made them, and the daemon that is asked could not start.
    if (service === "none") await ensureRunDirectories(record);
    const { commands, signal } = this.#context;
    const banger = async (...args: readonly string[]): Promise<string> => {
      const options = { timeoutMs: stopVmsMs, signal };
      const run = { file: command, args, ...options };
      return (await runAsOwner(commands, owner, run)).stdout;
    };
    const vms = JSON.parse(await banger("vm", "list", "--json")) as readonly {
      id: string;
    }[];
    const ids = vms.map(({ id }) => id);
    if (ids.length > 0) await banger("vm", "stop", ...ids);
  }

  async endServices({ owner, service }: InstallRecord): Promise<void> {
    const { command, helperUnit, daemonUnit } = systemLayout;
    const { commands, signal } = this.#context;
    if (service === "systemd")
      await new Systemctl(commands, signal).remove([daemonUnit, helperUnit]);
    else {
      if (await isUsable(command))
        await runAsOwner(commands, owner, {
          file: command,
          args: ["daemon", "stop"],
          timeoutMs: 120_000,
          signal,
        });
      await endHelper(signal);
    }
  }

  /** Everything but data and record. */
  async removeProgram(): Promise<void> {
    const { unitDirectory, command, programsDirectory } = systemLayout;
    const before = this.removed.length;
    for (const unit of unitNames) {
      const file = join(unitDirectory, unit);
      await this.attempt(`remove ${file}`, async () => {
        if (await isForeignUnit(file)) throw new ForeignFileError([file]);
        await this.#unlink(file);
      });
      await this.#removeTemporary(unitDirectory, unit);
    }
    if (this.removed.length > before)
      await this.attempt("systemctl daemon-reload", () => {
        const { commands, signal } = this.#context;
        return new Systemctl(commands, signal).run("daemon-reload");
      });
    await this.attempt(`remove ${command}`, async () => {
      if (await isForeignCommand(command))
        throw new ForeignFileError([command]);
      await this.#unlink(command);
      await this.#unlink(`${command}${newLinkSuffix}`);
    });
    const { runDirectory, helperDirectory } = systemLayout;
    for (const path of [runDirectory, helperDirectory, programsDirectory])
      await this.#removeTree(path);
  }

  async removeData(paths: readonly string[]): Promise<void> {
    await this.attempt("look at the data", async () => {
      const unknown = await foreignData();
      if (unknown.length > 0) throw new ForeignFileError(unknown);
    });
    if (this.#failures.length > 0) return;
    for (const path of [...paths, `${systemLayout.configDirectory}.new`])
      await this.#removeTree(path);
  }

  async removeEmpty(path: string): Promise<void> {
    try {
      await rmdir(path);
      this.removed.push(path);
    } catch (error) {
      // Something is kept in it; EBUSY is a cgroup's word for that, and EROFS that of a container's.
      if (!hasErrorCode(error, ...keptCodes)) this.#failures.push(error);
    }
  }

  async removeRecord(record: InstallRecord | undefined): Promise<void> {
    const { recordDirectory, recordFile } = systemLayout;
    await this.#removeTemporary(recordDirectory, basename(recordFile));
    await this.attempt(`remove ${recordFile}`, () => this.#unlink(recordFile));
    await this.removeEmpty(recordDirectory);
    for (const parent of record?.parents.toReversed() ?? [])
      await this.removeEmpty(parent);
  }

  /** What was being written when an install was killed. */
  async #removeTemporary(directory: string, name: string): Promise<void> {
    for (const found of await namesIn(directory))
      if (found.startsWith(`.${name}.`) && found.endsWith(".tmp"))
        await rm(join(directory, found), { force: true });
  }

  async #unlink(path: string): Promise<void> {
    try {
      await unlink(path);
      this.removed.push(path);
    } catch (error) {
      if (!hasErrorCode(error, "ENOENT", "ENOTDIR")) throw error;
    }
  }

  async #removeTree(path: string): Promise<void> {
    if (!(await isThere(path))) return;
    await this.attempt(`remove ${path}`, async () => {
      const { commands, signal } = this.#context;
      await commands.run({
        file: "rm",
        // The program's, not Node's: its owner may change the tree meanwhile, and rm(1) follows no link that is put into its way.
        args: ["-rf", "--one-file-system", "--", path],
        timeoutMs: 600_000,
        signal,
      });
      this.removed.push(path);
    });
  }
}

/** Does the command lead to a program? Not after an install that was killed. */
async function isUsable(command: string): Promise<boolean> {
  return (
    !(await isForeignCommand(command)) &&
    (await isThere(command)) &&
    (await isThere(`${systemLayout.currentProgram}/bin/banger`))
  );
}
