import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openDatabase } from "../../src/store/database.js";
import { migrations } from "../../src/store/migrations/index.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { withoutAccess } from "../files/without-access.js";
import { holdWriteLock } from "./lock-holder.js";

async function file(): Promise<string> {
  return join(await temporaryDirectory(), "state.db");
}

const next = {
  version: migrations.length + 1,
  name: "next",
  sql: "CREATE TABLE next (a INTEGER) STRICT",
};

describe("openDatabase", () => {
  it("makes a private, durable database with all migrations on record", async () => {
    const path = await file();
    const database = openDatabase(path);
    expect(database.pragma("journal_mode", { simple: true })).toBe("wal");
    expect(database.pragma("synchronous", { simple: true })).toBe(2);
    expect(database.pragma("foreign_keys", { simple: true })).toBe(1);
    // A statement that waits blocks the daemon.
    const busyMs = Number(database.pragma("busy_timeout", { simple: true }));
    expect(busyMs).toBeLessThanOrEqual(50);
    expect(
      database.prepare("SELECT version, name FROM schema_migrations").all(),
    ).toEqual(migrations.map(({ version, name }) => ({ version, name })));
    for (const suffix of ["", "-wal", "-shm"])
      expect((await stat(path + suffix)).mode & 0o777).toBe(0o600);
    database.close();
  });

  it("applies only what is new, and keeps what is there", async () => {
    const path = await file();
    const first = openDatabase(
      path,
      [next].map((m) => ({ ...m, version: 1 })),
    );
    first.exec("INSERT INTO next VALUES (7)");
    first.close();
    const second = openDatabase(path, [
      { ...next, version: 1 },
      { version: 2, name: "more", sql: "ALTER TABLE next ADD COLUMN b TEXT" },
    ]);
    expect(second.prepare("SELECT * FROM next").all()).toEqual([
      { a: 7, b: null },
    ]);
    second.close();
  });

  it("leaves the last whole version when a migration fails", async () => {
    const path = await file();
    const broken = {
      ...next,
      sql: "CREATE TABLE half (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1)",
    };
    expect(() => openDatabase(path, [...migrations, broken])).toThrow(
      "no such table",
    );
    const database = openDatabase(path);
    expect(
      database
        .prepare("SELECT name FROM sqlite_schema WHERE name = 'half'")
        .all(),
    ).toEqual([]);
    database.close();
  });

  it("refuses a database of a newer banger and does not touch it", async () => {
    const path = await file();
    openDatabase(path, [...migrations, next]).close();
    const before = await readFile(path);
    expect(() => openDatabase(path)).toThrow(
      expect.objectContaining({ code: "ERR_DATABASE_TOO_NEW" }),
    );
    expect(await readFile(path)).toEqual(before);
    openDatabase(path, [...migrations, next]).close();
  });

  it("refuses what is no database", async () => {
    const path = await file();
    await writeFile(path, "not a database, but long enough ".repeat(100));
    expect(() => openDatabase(path)).toThrow(
      expect.objectContaining({ code: "ERR_DATABASE_UNREADABLE" }),
    );
    expect(() => openDatabase(join(path, "below"))).toThrow(
      expect.objectContaining({ code: "ERR_DATABASE_UNREADABLE" }),
    );
  });

  it("brings the records of the first version over", async () => {
    const path = await file();
    const first = openDatabase(path, migrations.slice(0, 1));
    first.exec(`INSERT INTO vms (id, name, lease, image_id, state, created_at, updated_at, spec, runtime)
      VALUES ('0123456789ab', 'web', 1, 'i', 'created', 't', 't', '{}', '{}')`);
    first.close();
    const database = openDatabase(path);
    expect(database.prepare("SELECT name, stats FROM vms").all()).toEqual([
      { name: "web", stats: null },
    ]);
    for (const stats of ["{", "[]", "7"])
      expect(() => database.exec(`UPDATE vms SET stats = '${stats}'`)).toThrow(
        "CHECK",
      );
    database.close();
  });

  it("says that it may not be entered", async () => {
    const directory = await temporaryDirectory();
    const path = join(directory, "state.db");
    openDatabase(path).close();
    await withoutAccess(directory, async () => {
      expect(() => openDatabase(path)).toThrow(
        expect.objectContaining({ code: "ERR_DATABASE_UNREADABLE" }) as Error,
      );
      return Promise.resolve();
    });
  });

  it("waits for another program's lock only when there is something to write", async () => {
    const path = await file();
    openDatabase(path).close();
    const letGo = await holdWriteLock(path);
    openDatabase(path, migrations, 0).close();
    expect(() => openDatabase(path, [...migrations, next], 0)).toThrow(
      expect.objectContaining({ code: "ERR_STORE_BUSY" }) as Error,
    );
    letGo();
    openDatabase(path, [...migrations, next]).close();
  });

  it("has migrations numbered from 1 without a gap", () => {
    expect(migrations.map(({ version }) => version)).toEqual(
      migrations.map((_, index) => index + 1),
    );
  });
});

it("says that the disk is full", async () => {
  const broken = {
    ...next,
    sql: "PRAGMA max_page_count = 1; CREATE TABLE big (a TEXT) STRICT; INSERT INTO big VALUES (zeroblob(1))",
  };
  const path = await file();
  expect(() => openDatabase(path, [...migrations, broken])).toThrow(
    expect.objectContaining({ code: "ERR_DISK_FULL" }) as Error,
  );
});
