import { join } from "node:path";
import type { Logger, VmHandles, VmId, VmIo, VmRecord } from "@banger/core";
import { vmFileNames } from "../../files/vm-files.js";
import type { ProcessIdentity } from "../process-identity.js";
import { FirecrackerApi } from "./api-client.js";
import { MetricsFile } from "./metrics-file.js";
import { apiSocket } from "./vm-process.js";

/** Longest wait for a flush of the metrics, ms: Firecracker answers within one, and nobody may wait for one that hangs. */
const flushLimitMs = 500;

/** What went through the devices of VMs, from the metrics of their processes. */
export class FirecrackerIo {
  readonly #logger: Logger;
  readonly #files = new Map<
    VmId,
    { readonly writer: ProcessIdentity; readonly file: MetricsFile }
  >();

  constructor({ logger }: { logger: Logger }) {
    this.#logger = logger;
  }

  /** Up to now. `undefined` when the process does not answer in time, or its metrics cannot be read. Never rejects. */
  async read(
    vm: VmRecord,
    handles: VmHandles,
    signal: AbortSignal,
  ): Promise<VmIo | undefined> {
    const api = new FirecrackerApi(apiSocket(vm), { replyMs: flushLimitMs });
    try {
      await api.flushMetrics(signal);
      return await this.#fileOf(vm, handles).read();
    } catch (error) {
      const context = { vmId: vm.id, error };
      this.#logger.debug("Firecracker's metrics could not be read", context);
      return undefined;
    }
  }

  forget(vm: VmRecord): void {
    this.#files.delete(vm.id);
  }

  #fileOf(vm: VmRecord, { pid, pidStartTicks }: VmHandles): MetricsFile {
    const known = this.#files.get(vm.id);
    if (
      known?.writer.pid === pid &&
      known.writer.pidStartTicks === pidStartTicks
    )
      return known.file;
    const writer = { pid, pidStartTicks };
    const { directory } = vm.runtime;
    const file = new MetricsFile({
      path: join(directory, vmFileNames.firecrackerMetrics),
      notePath: join(directory, vmFileNames.firecrackerTotals),
      writer,
    });
    this.#files.set(vm.id, { writer, file });
    return file;
  }
}
