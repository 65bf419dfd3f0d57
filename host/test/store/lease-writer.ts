import { spawn } from "node:child_process";

/**
 * Another process that inserts rows as fast as it can, each with the lowest free lease, through SQL of its own.
 * @returns when it has ended; rejects unless it inserted all
 */
export function insertFromAnotherProcess(
  file: string,
  rows: number,
): Promise<void> {
  const script = `
    const Database = require("better-sqlite3");
    const db = new Database(${JSON.stringify(file)}, { timeout: 20000 });
    const insert = db.transaction((n) => {
      const used = new Set(db.prepare("SELECT lease FROM vms").pluck().all());
      let lease = 1;
      while (used.has(lease)) lease++;
      db.prepare("INSERT INTO vms (id, name, lease, image_id, state, created_at, updated_at, spec, runtime)" +
        " VALUES (?, ?, ?, 'i', 'created', 't', 't', '{}', '{}')")
        .run("f" + String(n).padStart(11, "0"), "other-" + n, lease);
    });
    for (let n = 0; n < ${rows.toString()}; n++) insert.immediate(n);
  `;
  const child = spawn(process.execPath, ["-e", script], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0
        ? resolve()
        : reject(new Error(`the writer ended with ${String(code)}`)),
    );
  });
}
