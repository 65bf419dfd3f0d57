import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  describeError,
  type HandleStore,
  type Logger,
  type SavedHandles,
  type VmHandles,
  type VmId,
  type VmRecord,
} from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { parseJson } from "../files/parse-json.js";
import { orPathUnusable } from "../files/path-unusable.js";
import { vmFileNames } from "../files/vm-files.js";
import { writeAtomically } from "../files/write-atomically.js";

/** A file of ours has some hundred bytes. */
const mostBytes = 64 * 1024;

const handlesSchema = z.object({
  // 0, 1 and negative numbers would make a signal reach groups, init or everything.
  pid: z
    .int()
    .min(2)
    .max(2 ** 22),
  pidStartTicks: z.int().min(0),
  tapDevice: z.string().exactOptional(),
  baseLoop: z.string().exactOptional(),
  cowLoop: z.string().exactOptional(),
  dmName: z.string().exactOptional(),
  dmDevice: z.string().exactOptional(),
});

/** Handles in `handles.json` of each VM's directory, mode 0600, with a cache over it. */
export class JsonHandleStore implements HandleStore {
  readonly #logger: Logger;
  readonly #cache = new Map<VmId, VmHandles>();

  constructor({ logger }: { readonly logger: Logger }) {
    this.#logger = logger;
  }

  async load(vm: VmRecord): Promise<SavedHandles> {
    this.#cache.delete(vm.id);
    const saved = await readSaved(handlesFile(vm));
    if (saved.handles) this.#cache.set(vm.id, saved.handles);
    return saved;
  }

  async read(vm: VmRecord): Promise<VmHandles | undefined> {
    const cached = this.#cache.get(vm.id);
    if (cached) return cached;
    const { handles, problem } = await this.load(vm);
    if (problem !== undefined)
      this.#logger.warn("Handles of a VM are unreadable and ignored", {
        vmId: vm.id,
        problem,
      });
    return handles;
  }

  /** @throws PathUnusableError, DiskFullError */
  async write(vm: VmRecord, handles: VmHandles): Promise<void> {
    const checked = handlesSchema.parse(handles);
    const file = handlesFile(vm);
    await orPathUnusable(file, () =>
      writeAtomically(file, `${JSON.stringify(checked, undefined, 2)}\n`),
    );
    this.#cache.set(vm.id, checked);
  }

  /** @throws PathUnusableError */
  async clear(vm: VmRecord): Promise<void> {
    const file = handlesFile(vm);
    await orPathUnusable(file, () => rm(file, { force: true }));
    this.#cache.delete(vm.id);
  }
}

async function readSaved(file: string): Promise<SavedHandles> {
  let text: string;
  try {
    text = await readStart(file);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return {};
    return { problem: `${file} cannot be read: ${describeError(error)}` };
  }
  const value = parseJson(text);
  if (value === undefined) return { problem: `${file} is damaged: no JSON` };
  const parsed = handlesSchema.safeParse(value);
  if (parsed.success) return { handles: parsed.data };
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") ?? "";
  const what = `${where === "" ? "" : `${where}: `}${issue?.message ?? "not valid"}`;
  return { problem: `${file} is damaged: ${what}` };
}

async function readStart(file: string): Promise<string> {
  // Something else than a file in its place must not block the daemon.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const buffer = Buffer.alloc(mostBytes);
    const { bytesRead } = await handle.read(buffer, 0, mostBytes, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await handle.close();
  }
}

function handlesFile(vm: VmRecord): string {
  return join(vm.runtime.directory, vmFileNames.handles);
}
