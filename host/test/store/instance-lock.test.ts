import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { expect, it, onTestFinished } from "vitest";
import { takeInstanceLock } from "../../src/store/instance-lock.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

// Plain JavaScript with the same two statements: a child process has no transpiler. The file format is what both share.
const holder = `
  const Database = require(process.argv[1]);
  const database = new Database(process.argv[2], { timeout: 0 });
  database.pragma("locking_mode = EXCLUSIVE");
  database.exec("BEGIN EXCLUSIVE");
  console.log("held");
  setInterval(() => database.open, 1000);
`;

async function holdElsewhere(file: string): Promise<ChildProcess> {
  const module = createRequire(import.meta.url).resolve("better-sqlite3");
  const child = spawn(process.execPath, ["-e", holder, module, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  await once(child.stdout, "data");
  return child;
}

it("refuses the second, and serves again after a release", async () => {
  const file = `${await temporaryDirectory()}/lock.db`;
  const first = takeInstanceLock(file);
  expect(first).toBeDefined();
  expect(takeInstanceLock(file)).toBeUndefined();
  first?.release();
  const second = takeInstanceLock(file);
  expect(second).toBeDefined();
  second?.release();
});

it("is freed by the kernel when its holder is killed", async () => {
  const file = `${await temporaryDirectory()}/lock.db`;
  const child = await holdElsewhere(file);
  expect(takeInstanceLock(file)).toBeUndefined();
  child.kill("SIGKILL");
  await once(child, "exit");
  const lock = takeInstanceLock(file);
  expect(lock).toBeDefined();
  lock?.release();
});

it("throws what is no question of the holder", () => {
  expect(() => takeInstanceLock("/nonexistent/directory/lock.db")).toThrow();
});
