import { copyFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { VmStats } from "@banger/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDatabase, type Database } from "../../src/store/database.js";
import { SqliteVmStore } from "../../src/store/sqlite-vm-store.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { withoutAccess } from "../files/without-access.js";
import { insertFromAnotherProcess } from "./lease-writer.js";
import { holdWriteLock } from "./lock-holder.js";
import { recordingLogger } from "./recording-logger.js";
import { sampleVm, vmId } from "./sample-vm.js";

interface Fixture {
  readonly file: string;
  readonly database: Database;
  readonly store: SqliteVmStore;
  readonly logger: ReturnType<typeof recordingLogger>;
}

function open(file: string, busyLimitMs = 30_000): Fixture {
  const database = openDatabase(file);
  const logger = recordingLogger();
  const store = new SqliteVmStore({
    database,
    logger,
    busyLimitMs,
    directoriesOf: (id) => ({
      directory: `/state/vms/${id}`,
      runDirectory: `/run/vms/${id}`,
    }),
  });
  onTestFinished(() => store.close());
  return { file, database, store, logger };
}

async function setUp(busyLimitMs?: number): Promise<Fixture> {
  return open(join(await temporaryDirectory(), "state.db"), busyLimitMs);
}

async function insert(
  { store }: Fixture,
  number: number,
  name = `vm-${number.toString()}`,
): Promise<number> {
  let leased = 0;
  await store.insert(name, (lease) => {
    leased = lease;
    return sampleVm(vmId(number), name, "/nowhere", lease);
  });
  return leased;
}

describe("insert", () => {
  it("gives back what it was given, also to the next daemon", async () => {
    const fixture = await setUp();
    const vm = {
      ...sampleVm(vmId(1), "web"),
      workspace: { guestPath: "/root/repo", sourcePath: "/home/ann/repo" },
    };
    expect(await fixture.store.insert("web", () => vm)).toEqual(vm);
    fixture.store.close();
    const again = open(fixture.file);
    expect(await again.store.find(vm.id)).toEqual(vm);
    expect(await again.store.list()).toEqual([vm]);
    expect(await again.store.find(vmId(2))).toBeUndefined();
  });

  it("leases the lowest free number, from 1", async () => {
    const fixture = await setUp();
    const leases = [];
    for (const n of [1, 2, 3, 4]) leases.push(await insert(fixture, n));
    expect(leases).toEqual([1, 2, 3, 4]);
    await fixture.store.remove(vmId(1));
    await fixture.store.remove(vmId(3));
    expect(await insert(fixture, 5)).toBe(1);
    expect(await insert(fixture, 6)).toBe(3);
    expect(await insert(fixture, 7)).toBe(5);
  });

  it("refuses a taken name and leases nothing for it", async () => {
    const fixture = await setUp();
    await insert(fixture, 1, "web");
    await expect(insert(fixture, 2, "web")).rejects.toMatchObject({
      code: "ERR_VM_NAME_TAKEN",
    });
    expect(await insert(fixture, 3)).toBe(2);
  });

  it("leaves nothing when the record cannot be built or is not valid", async () => {
    const fixture = await setUp();
    await expect(
      fixture.store.insert("web", () => {
        throw new Error("no address");
      }),
    ).rejects.toThrow("no address");
    const vm = sampleVm(vmId(1), "web");
    const invalid = { ...vm, spec: { ...vm.spec, vcpus: 0 } };
    await expect(fixture.store.insert("web", () => invalid)).rejects.toThrow(
      "spec.vcpus",
    );
    await expect(fixture.store.insert("other", () => vm)).rejects.toThrow(
      "named web",
    );
    expect(await fixture.store.list()).toEqual([]);
    expect(await insert(fixture, 1, "web")).toBe(1);
  });

  it("says when every address is leased", async () => {
    const fixture = await setUp();
    fixture.database.exec(`
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
      INSERT INTO vms (id, name, lease, image_id, state, created_at, updated_at, spec, runtime)
      SELECT printf('%012x', i), 'n' || i, i, 'i', 'created', 't', 't', '{}', '{}' FROM n`);
    await expect(insert(fixture, 99_999)).rejects.toMatchObject({
      code: "ERR_ADDRESS_POOL_EXHAUSTED",
    });
    await fixture.store.remove(vmId(31_000));
    expect(await insert(fixture, 99_999)).toBe(31_000);
  });

  it("shares the pool with another process without giving a number twice", async () => {
    const fixture = await setUp();
    const other = insertFromAnotherProcess(fixture.file, 150);
    for (let n = 1; n <= 150; n++) {
      await insert(fixture, n);
      await setImmediate();
    }
    await other;
    const leases = fixture.database
      .prepare<[], number>("SELECT lease FROM vms ORDER BY lease")
      .pluck()
      .all();
    expect(leases).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
  }, 60_000);
});

describe("update", () => {
  it("changes the record as it is now, and keeps identity", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const { store } = fixture;
    await store.update(vmId(1), ({ runtime }) => ({
      runtime: { ...runtime, teardown: { nat: { rules: [1, null, "x"] } } },
    }));
    const hostile = { id: vmId(9), createdAt: "never" };
    const updated = await store.update(vmId(1), ({ runtime }) => ({
      ...hostile,
      state: "running",
      runtime: { ...runtime, driver: "qemu" },
    }));
    expect(updated).toMatchObject({
      id: vmId(1),
      createdAt: "2026-01-02T03:04:05.000Z",
      state: "running",
      runtime: { driver: "qemu", teardown: { nat: { rules: [1, null, "x"] } } },
    });
    expect(updated.updatedAt > updated.createdAt).toBe(true);
    expect(await store.find(vmId(1))).toEqual(updated);
  });

  it("changes nothing when the change throws or is not valid", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const before = await fixture.store.find(vmId(1));
    await expect(
      fixture.store.update(vmId(1), () => {
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    await expect(
      fixture.store.update(vmId(1), () => ({ state: "stopped" })),
    ).rejects.toThrow("cannot go from created to stopped");
    await expect(
      fixture.store.update(vmId(1), ({ spec }) => ({
        spec: { ...spec, vcpus: 0.5 },
      })),
    ).rejects.toThrow("spec");
    expect(await fixture.store.find(vmId(1))).toEqual(before);
  });

  it("removes what a change leaves out", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const { store } = fixture;
    await store.update(vmId(1), (vm) => ({
      workspace: { guestPath: "/root/r", sourcePath: "/r" },
      runtime: { ...vm.runtime, lastError: "broke" },
    }));
    const cleared = await store.update(vmId(1), ({ runtime }) => {
      const { lastError, ...rest } = runtime;
      expect(lastError).toBe("broke");
      return { runtime: rest };
    });
    expect("lastError" in cleared.runtime).toBe(false);
    expect(cleared.workspace?.guestPath).toBe("/root/r");
  });

  it("refuses another VM's name, and takes a free one", async () => {
    const fixture = await setUp();
    await insert(fixture, 1, "one");
    await insert(fixture, 2, "two");
    await expect(
      fixture.store.update(vmId(2), () => ({ name: "one" })),
    ).rejects.toMatchObject({ code: "ERR_VM_NAME_TAKEN" });
    const renamed = await fixture.store.update(vmId(2), () => ({
      name: "three",
    }));
    expect(renamed.name).toBe("three");
  });

  it("says that a VM is gone", async () => {
    const { store } = await setUp();
    await expect(store.update(vmId(1), () => ({}))).rejects.toMatchObject({
      code: "ERR_VM_GONE",
    });
  });
});

describe("saveStats", () => {
  const stats: VmStats = {
    collectedAt: "2026-01-02T03:04:06.000Z",
    cpuPercent: 12.5,
    residentBytes: 300 * 2 ** 20,
    diskBytes: 2 ** 30,
    guest: {
      memoryTotalBytes: 2 ** 30,
      memoryAvailableBytes: 2 ** 29,
      loadAverage: [0.1, 0.02, 0],
    },
  };

  it("keeps what was seen beside the record, whose time stays, also for the next daemon", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    await insert(fixture, 2);
    const { store } = fixture;
    const before = await store.find(vmId(1));
    await store.saveStats(vmId(1), stats);
    expect(await store.find(vmId(1))).toEqual({ ...before, stats });
    const { cpuPercent: _none, guest: _neither, ...least } = stats;
    await store.saveStats(vmId(1), least);
    store.close();
    const [again, other] = await open(fixture.file).store.list();
    expect(again).toEqual({ ...before, stats: least });
    expect(other).not.toHaveProperty("stats");
  });

  it("survives a change of the record", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    await fixture.store.saveStats(vmId(1), stats);
    const updated = await fixture.store.update(vmId(1), () => ({
      state: "running",
    }));
    expect(updated.stats).toEqual(stats);
  });

  it("does nothing for a VM that is gone", async () => {
    const { store } = await setUp();
    await store.saveStats(vmId(1), stats);
    expect(await store.list()).toEqual([]);
  });

  it("refuses what would not be readable", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const wrong = { ...stats, residentBytes: NaN };
    await expect(fixture.store.saveStats(vmId(1), wrong)).rejects.toThrow(
      "residentBytes",
    );
    expect((await fixture.store.find(vmId(1)))?.stats).toBeUndefined();
  });

  it.each([
    '{"collectedAt": 5}',
    "{}",
    `{"collectedAt": "t", "residentBytes": -1, "diskBytes": 0}`,
  ])("takes damaged stats %s for none", async (text) => {
    const fixture = await setUp();
    await insert(fixture, 1);
    fixture.database.prepare("UPDATE vms SET stats = ?").run(text);
    expect(await fixture.store.find(vmId(1))).toMatchObject({
      state: "created",
    });
    expect((await fixture.store.find(vmId(1)))?.stats).toBeUndefined();
    expect(fixture.logger.entries).toEqual([]);
  });
});

describe("what a reconcile reads and writes", () => {
  it("comes back as it was written", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const before = await fixture.store.find(vmId(1));
    const more = {
      changing: { ...before!.spec, vcpus: 4 },
      deleting: true as const,
      problems: ["handles.json is damaged"],
      lastUsedAt: "2026-01-02T03:04:06.000Z",
      forwards: [{ address: "127.0.0.1", port: 8080, guestPort: 80 }],
    };
    await fixture.store.update(vmId(1), ({ runtime }) => ({
      runtime: { ...runtime, ...more },
    }));
    expect((await fixture.store.find(vmId(1)))?.runtime).toEqual({
      ...before!.runtime,
      ...more,
    });
  });

  it.each([
    { forwards: [{ address: "evil.example", port: 80, guestPort: 80 }] },
    { forwards: [{ address: "127.0.0.1", port: 0, guestPort: 80 }] },
    { forwards: [{ address: "127.0.0.1", port: 80, guestPort: 65536 }] },
    { problems: ["x".repeat(10_001)] },
    { lastUsedAt: "x".repeat(65) },
  ])("is within bounds %#", async (wrong) => {
    const fixture = await setUp();
    await insert(fixture, 1);
    await expect(
      fixture.store.update(vmId(1), ({ runtime }) => ({
        runtime: { ...runtime, ...wrong },
      })),
    ).rejects.toThrow(`runtime.${Object.keys(wrong).join()}`);
  });
});

describe("list and remove", () => {
  it("lists the oldest first, whatever was removed in between", async () => {
    const fixture = await setUp();
    for (const n of [5, 3, 9]) await insert(fixture, n);
    await fixture.store.remove(vmId(9));
    await fixture.store.remove(vmId(9));
    await insert(fixture, 1);
    const ids = (await fixture.store.list()).map(({ id }) => id);
    expect(ids).toEqual([vmId(5), vmId(3), vmId(1)]);
  });
});

describe("what was read before", () => {
  it("is not read anew while its row is unchanged, and cannot be changed by a caller", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const [first] = await fixture.store.list();
    expect((await fixture.store.list())[0]).toBe(first);
    expect(await fixture.store.find(vmId(1))).toBe(first);
    const { spec } = first as { spec: { vcpus: number } };
    expect(() => {
      spec.vcpus = 99;
    }).toThrow(TypeError);
  });

  it("is read anew when another program has changed the row", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    await fixture.store.list();
    const other = open(fixture.file);
    await other.store.update(vmId(1), () => ({ name: "renamed" }));
    await other.store.saveStats(vmId(1), {
      collectedAt: "2026-01-01T00:00:00.000Z",
      residentBytes: 1,
      diskBytes: 2,
    });
    const [seen] = await fixture.store.list();
    expect(seen).toMatchObject({ name: "renamed", stats: { diskBytes: 2 } });
  });

  it("is gone with its row", async () => {
    const fixture = await setUp();
    await insert(fixture, 1, "one");
    await fixture.store.list();
    await fixture.store.remove(vmId(1));
    await insert(fixture, 1, "two");
    expect(await fixture.store.find(vmId(1))).toMatchObject({ name: "two" });
  });
});

describe("a row that does not fit", () => {
  it("keeps fields of a newer banger through an update", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    fixture.database.exec(
      `UPDATE vms SET spec = json_set(spec, '$.gpu', 'a100'), runtime = json_set(runtime, '$.ssh.user', 'ann')`,
    );
    await fixture.store.update(vmId(1), () => ({ state: "running" }));
    const kept = fixture.database
      .prepare(
        "SELECT spec ->> 'gpu' AS gpu, runtime ->> '$.ssh.user' AS user FROM vms",
      )
      .get();
    expect(kept).toEqual({ gpu: "a100", user: "ann" });
    expect(fixture.logger.entries).toEqual([]);
  });

  it("hides no other VM, says what is wrong, keeps the names that teardown needs, and can be deleted", async () => {
    const fixture = await setUp();
    for (const n of [1, 2, 3]) await insert(fixture, n);
    const { store, database, logger } = fixture;
    await store.update(vmId(2), ({ runtime }) => ({
      state: "running",
      runtime: { ...runtime, tapDevice: "tap-2", startedPlugins: ["nat"] },
    }));
    database.exec(`UPDATE vms SET spec = json_set(spec, '$.vcpus', 'many'),
      runtime = json_remove(json_set(runtime, '$.driver', 5), '$.directory') WHERE name = 'vm-2'`);

    const list = await store.list();
    expect(list.map(({ state }) => state)).toEqual([
      "created",
      "error",
      "created",
    ]);
    expect(list[1]).toMatchObject({
      spec: { vcpus: 1, memoryMiB: 1024 },
      runtime: {
        directory: `/state/vms/${vmId(2)}`,
        runDirectory: `/nowhere/run/vms/${vmId(2)}`,
        tapDevice: "tap-2",
        startedPlugins: ["nat"],
        lastError: expect.stringContaining(
          "spec.vcpus, runtime.directory, runtime.driver",
        ) as string,
      },
    });
    expect("driver" in list[1]!.runtime).toBe(false);
    await store.list();
    expect(logger.entries).toHaveLength(1);

    // What teardown does on the way to a delete.
    await store.update(vmId(2), ({ runtime }) => ({
      runtime: { ...runtime, startedPlugins: [], teardown: {} },
    }));
    await store.remove(vmId(2));
    expect(await store.list()).toHaveLength(2);
    expect(await insert(fixture, 4)).toBe(2);
  });

  it("survives JSON that is no object, and a state nobody knows", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    fixture.database.pragma("ignore_check_constraints = ON");
    fixture.database.exec(
      `UPDATE vms SET spec = '{broken', runtime = '[]', workspace = '7', state = 'paused'`,
    );
    const [vm] = await fixture.store.list();
    expect(vm).toMatchObject({
      id: vmId(1),
      state: "error",
      spec: { image: "unknown" },
      runtime: { directory: `/state/vms/${vmId(1)}`, teardown: {} },
    });
    expect(vm?.workspace).toBeUndefined();
    expect(vm?.runtime.lastError).toContain("spec, runtime, workspace, state");
  });

  it("is not written in the first place", async () => {
    const { database } = await setUp();
    const row = (id: string, lease: number, json: string): string =>
      `INSERT INTO vms (id, name, lease, image_id, state, created_at, updated_at, spec, runtime)
       VALUES ('${id}', 'n', ${lease.toString()}, 'i', 'created', 't', 't', '${json}', '{}')`;
    for (const sql of [
      row("0123456789ab", 1, "{"),
      row("0123456789ab", 1, "[]"),
      row("0123456789ab", 0, "{}"),
      row("0123456789ab", 60_001, "{}"),
      row("0123456789AB", 1, "{}"),
      row("../../../etc", 1, "{}"),
    ])
      expect(() => database.exec(sql), sql).toThrow("CHECK");
  });
});

it("closes as often as asked", async () => {
  const { store } = await setUp();
  store.close();
  store.close();
});

it("says that the disk is full, and goes on once it is not", async () => {
  const fixture = await setUp();
  const { database, store } = fixture;
  await insert(fixture, 1);
  const pages = Number(database.pragma("page_count", { simple: true }));
  database.pragma(`max_page_count = ${pages.toString()}`);
  const full = { code: "ERR_DISK_FULL", kind: "unavailable" };
  const image = "x".repeat(100_000);
  await expect(
    store.update(vmId(1), () => ({ imageId: image })),
  ).rejects.toMatchObject(full);
  await expect(
    store.insert("big", (lease) => ({
      ...sampleVm(vmId(2), "big", "/nowhere", lease),
      imageId: image,
    })),
  ).rejects.toMatchObject(full);
  expect(await store.list()).toHaveLength(1);
  database.pragma("max_page_count = 100000");
  await insert(fixture, 2);
});

describe("another program's lock", () => {
  it("is waited for while this process goes on", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const letGo = await holdWriteLock(fixture.file);
    const update = fixture.store.update(vmId(1), () => ({ state: "running" }));
    const removed = fixture.store.remove(vmId(2));
    let turns = 0;
    // Reading needs no lock.
    while (turns < 5) {
      expect((await fixture.store.find(vmId(1)))?.state).toBe("created");
      await setImmediate();
      turns++;
    }
    letGo();
    expect((await update).state).toBe("running");
    await removed;
  });

  it("is said after a while", async () => {
    const fixture = await setUp(0);
    await insert(fixture, 1);
    const letGo = await holdWriteLock(fixture.file);
    const busy = {
      code: "ERR_STORE_BUSY",
      kind: "unavailable",
      message: `${fixture.file} is locked by another program`,
    };
    const { store } = fixture;
    const stats = { collectedAt: "t", residentBytes: 1, diskBytes: 1 };
    const image = (lease: number) =>
      sampleVm(vmId(2), "two", "/nowhere", lease);
    for (const write of [
      () => store.update(vmId(1), () => ({})),
      () => store.insert("two", image),
      () => store.saveStats(vmId(1), stats),
      () => store.remove(vmId(1)),
    ])
      await expect(write()).rejects.toMatchObject(busy);
    letGo();
    const again = open(fixture.file);
    await again.store.update(vmId(1), () => ({ state: "running" }));
  });
});

describe("a file that cannot be used any more", () => {
  const unusable = { code: "ERR_DATABASE_UNREADABLE" };

  it("is said, and nothing is written where nobody would find it", async () => {
    const fixture = await setUp();
    await insert(fixture, 1);
    const { store, file } = fixture;
    const away = `${dirname(file)}-away`;
    onTestFinished(() => rm(away, { recursive: true, force: true }));
    await rename(dirname(file), away);
    await expect(store.list()).rejects.toMatchObject(unusable);
    await expect(store.find(vmId(1))).rejects.toMatchObject(unusable);
    const update = store.update(vmId(1), () => ({ state: "running" }));
    await expect(update).rejects.toMatchObject(unusable);
    await rename(away, dirname(file));
    expect((await store.find(vmId(1)))?.state).toBe("created");
  });

  it("is not taken for another one in its place", async () => {
    const fixture = await setUp();
    const { store, file } = fixture;
    await insert(fixture, 1);
    await copyFile(file, `${file}.copy`);
    await rename(`${file}.copy`, file);
    await expect(store.remove(vmId(1))).rejects.toMatchObject(unusable);
  });

  it("is said when its directory may not be entered", async () => {
    const { store, file } = await setUp();
    await withoutAccess(dirname(file), async () => {
      await expect(store.list()).rejects.toMatchObject(unusable);
    });
    expect(await store.list()).toEqual([]);
  });
});
