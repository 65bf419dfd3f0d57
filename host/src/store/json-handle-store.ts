import { constants } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import type {
  HandleStore,
  Logger,
  VmHandles,
  VmId,
  VmRecord,
} from "@banger/core";
import { z } from "zod";
import { hasErrorCode } from "../files/error-code.js";
import { parseJson } from "../files/parse-json.js";
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

  async read(vm: VmRecord): Promise<VmHandles | undefined> {
    const cached = this.#cache.get(vm.id);
    if (cached) return cached;
    const text = await this.#readFile(vm);
    if (text === undefined) return undefined;
    const parsed = handlesSchema.safeParse(parseJson(text));
    if (!parsed.success) {
      this.#logger.warn("Handles of a VM are unreadable and ignored", {
        vmId: vm.id,
        problem: z.prettifyError(parsed.error),
      });
      return undefined;
    }
    this.#cache.set(vm.id, parsed.data);
    return parsed.data;
  }

  async write(vm: VmRecord, handles: VmHandles): Promise<void> {
    const checked = handlesSchema.parse(handles);
    await writeAtomically(
      handlesFile(vm),
      `${JSON.stringify(checked, undefined, 2)}\n`,
    );
    this.#cache.set(vm.id, checked);
  }

  async clear(vm: VmRecord): Promise<void> {
    await rm(handlesFile(vm), { force: true });
    this.#cache.delete(vm.id);
  }

  async #readFile(vm: VmRecord): Promise<string | undefined> {
    try {
      const handle = await open(
        handlesFile(vm),
        constants.O_RDONLY | constants.O_NONBLOCK,
      );
      try {
        const buffer = Buffer.alloc(mostBytes);
        const { bytesRead } = await handle.read(buffer, 0, mostBytes, 0);
        return buffer.toString("utf8", 0, bytesRead);
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (hasErrorCode(error, "ENOENT")) return undefined;
      if (!hasErrorCode(error, "EISDIR", "EACCES", "EIO")) throw error;
      this.#logger.warn("Handles of a VM are unreadable and ignored", {
        vmId: vm.id,
        error,
      });
      return undefined;
    }
  }
}

function handlesFile(vm: VmRecord): string {
  return join(vm.runtime.directory, vmFileNames.handles);
}
