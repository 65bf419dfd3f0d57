import {
  requireLegalMove,
  VmGoneError,
  VmNameTakenError,
  type Logger,
  type VmId,
  type VmPatch,
  type VmRecord,
  type VmStats,
  type VmStore,
} from "@banger/core";
import type { Statement, Transaction } from "better-sqlite3";
import { asDatabaseFault, retryWhileBusy } from "./database-faults.js";
import type { Database } from "./database.js";
import { FileIdentity } from "../files/file-identity.js";
import { RowCache } from "./row-cache.js";
import { AddressPoolExhaustedError } from "./store-errors.js";
import { vmStatsSchema } from "./vm-record-schema.js";
import {
  renderVmRow,
  type DirectoriesOf,
  type VmRecordColumns,
  type VmRow,
} from "./vm-row.js";

/** Address numbers that can be leased at the same time; the table's check says the same. */
const mostLeases = 60_000;

/** Longest wait for another program to let go of the database, ms. */
const busyLimitMs = 10_000;

const written =
  "id, name, lease, image_id, state, created_at, updated_at, spec, runtime, workspace";
const columns = `${written}, stats`;

/**
 * VM records in SQLite. One connection, whose transactions run one after another. Besides what the contract names, every call may throw
 * StoreBusyError, DatabaseUnreadableError when the file cannot be used any more, and DiskFullError when it writes.
 */
export class SqliteVmStore implements VmStore {
  readonly #database: Database;
  readonly #file: FileIdentity;
  readonly #busyLimitMs: number;
  readonly #logger: Logger;
  readonly #rows: RowCache;
  readonly #reported = new Set<string>();
  readonly #all: Statement<[], VmRow>;
  readonly #byId: Statement<[string], VmRow>;
  readonly #nameOwner: Statement<[string], { id: string }>;
  readonly #freeLease: Statement<[], { lease: number }>;
  readonly #insertRow: Statement<[VmRecordColumns & Pick<VmRow, "lease">]>;
  readonly #updateRow: Statement<[VmRecordColumns]>;
  readonly #saveStats: Statement<[{ id: string; stats: string }]>;
  readonly #removeRow: Statement<[string]>;
  readonly #insert: Transaction<
    (name: string, build: (lease: number) => VmRecord) => VmRecord
  >;
  readonly #update: Transaction<
    (id: VmId, change: (vm: VmRecord) => VmPatch) => VmRecord
  >;

  /**
   * @param database open and migrated; {@link close} closes it
   * @param directoriesOf where a VM's directories belong, for a row that no longer says
   */
  constructor({
    database,
    directoriesOf,
    logger,
    busyLimitMs: limit = busyLimitMs,
  }: {
    readonly database: Database;
    readonly directoriesOf: DirectoriesOf;
    readonly logger: Logger;
    readonly busyLimitMs?: number;
  }) {
    this.#database = database;
    this.#file = new FileIdentity(database.name);
    this.#busyLimitMs = limit;
    this.#logger = logger;
    this.#rows = new RowCache(directoriesOf);
    this.#all = database.prepare(`SELECT ${columns} FROM vms ORDER BY seq`);
    this.#byId = database.prepare(`SELECT ${columns} FROM vms WHERE id = ?`);
    this.#nameOwner = database.prepare("SELECT id FROM vms WHERE name = ?");
    this.#freeLease = database.prepare(`
      SELECT min(candidate) AS lease FROM (
        SELECT 1 AS candidate UNION ALL SELECT lease + 1 FROM vms
      ) WHERE candidate NOT IN (SELECT lease FROM vms)`);
    this.#insertRow = database.prepare(`
      INSERT INTO vms (${written}) VALUES
        (@id, @name, @lease, @image_id, @state, @created_at, @updated_at, @spec, @runtime, @workspace)`);
    this.#updateRow = database.prepare(`
      UPDATE vms SET name = @name, image_id = @image_id, state = @state, updated_at = @updated_at,
        spec = @spec, runtime = @runtime, workspace = @workspace WHERE id = @id`);
    this.#saveStats = database.prepare(
      "UPDATE vms SET stats = @stats WHERE id = @id",
    );
    this.#removeRow = database.prepare("DELETE FROM vms WHERE id = ?");
    this.#insert = database.transaction((name, build) =>
      this.#insertNow(name, build),
    );
    this.#update = database.transaction((id, change) =>
      this.#updateNow(id, change),
    );
  }

  list(): Promise<readonly VmRecord[]> {
    return this.#run("reading the records of VMs", () =>
      this.#all.all().map((row) => this.#read(row)),
    );
  }

  find(id: VmId): Promise<VmRecord | undefined> {
    return this.#run("reading the record of a VM", () => {
      const row = this.#byId.get(id);
      return row && this.#read(row);
    });
  }

  /** @throws AddressPoolExhaustedError besides what the contract names */
  insert(name: string, build: (lease: number) => VmRecord): Promise<VmRecord> {
    // IMMEDIATE takes the write lock before the first read: two processes cannot choose the same lease.
    return this.#run("writing the record of a VM", () =>
      this.#insert.immediate(name, build),
    );
  }

  update(id: VmId, change: (vm: VmRecord) => VmPatch): Promise<VmRecord> {
    return this.#run("writing the record of a VM", () =>
      this.#update.immediate(id, change),
    );
  }

  async saveStats(id: VmId, stats: VmStats): Promise<void> {
    const row = { id, stats: JSON.stringify(vmStatsSchema.parse(stats)) };
    await this.#run("writing what a VM uses", () => this.#saveStats.run(row));
  }

  async remove(id: VmId): Promise<void> {
    await this.#run("removing the record of a VM", () =>
      this.#removeRow.run(id),
    );
    this.#reported.delete(id);
    this.#rows.forget(id);
  }

  /** Idempotent; nothing else may be called after it. */
  close(): void {
    this.#database.close();
  }

  async #run<T>(what: string, work: () => T): Promise<T> {
    try {
      return await retryWhileBusy(this.#busyLimitMs, () => {
        // An open database goes on working when its file is gone, and what it writes then is lost.
        this.#file.require();
        return work();
      });
    } catch (error) {
      throw asDatabaseFault(what, this.#file.path, error);
    }
  }

  #insertNow(name: string, build: (lease: number) => VmRecord): VmRecord {
    if (this.#nameOwner.get(name)) throw new VmNameTakenError(name);
    const lease = this.#freeLease.get()?.lease ?? 1;
    if (lease > mostLeases) throw new AddressPoolExhaustedError(mostLeases);
    const vm = build(lease);
    if (vm.name !== name)
      throw new Error(`a record named ${vm.name} for the name ${name}`);
    this.#insertRow.run({ ...renderVmRow(vm), lease });
    return this.#readBack(vm.id);
  }

  #updateNow(id: VmId, change: (vm: VmRecord) => VmPatch): VmRecord {
    const row = this.#byId.get(id);
    if (!row) throw new VmGoneError(id);
    const before = this.#read(row);
    const after: VmRecord = {
      ...before,
      ...change(before),
      id: before.id,
      createdAt: before.createdAt,
      updatedAt: new Date().toISOString(),
    };
    requireLegalMove(before, after.state);
    const owner = this.#nameOwner.get(after.name);
    if (owner && owner.id !== id) throw new VmNameTakenError(after.name);
    this.#updateRow.run(renderVmRow(after));
    return this.#readBack(id);
  }

  /** What was really written; a record that would not be readable fails its transaction instead. */
  #readBack(id: VmId): VmRecord {
    const row = this.#byId.get(id);
    if (!row) throw new Error(`the row of ${id} vanished in its transaction`);
    const { vm, damaged } = this.#rows.read(row);
    if (damaged.length > 0)
      throw new Error(`record of ${id} is not valid: ${damaged.join(", ")}`);
    return vm;
  }

  #read(row: VmRow): VmRecord {
    const { vm, damaged } = this.#rows.read(row);
    if (damaged.length > 0 && !this.#reported.has(row.id)) {
      this.#reported.add(row.id);
      this.#logger.warn("VM record is damaged", { vmId: row.id, damaged });
    }
    return vm;
  }
}
