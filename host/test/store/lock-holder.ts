import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { onTestFinished } from "vitest";

const script = `
  const Database = require(process.argv[1]);
  const database = new Database(process.argv[2], { timeout: 5000 });
  database.exec("BEGIN IMMEDIATE");
  console.log("held");
  process.stdin.once("data", () => {
    database.exec("COMMIT");
    process.exit(0);
  });
`;

/**
 * Another process that holds the write lock of a database.
 * @returns what lets go of it
 */
export async function holdWriteLock(file: string): Promise<() => void> {
  const module = createRequire(import.meta.url).resolve("better-sqlite3");
  const child = spawn(process.execPath, ["-e", script, module, file], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child.stdout, "data");
  return () => child.stdin.write("go\n");
}
