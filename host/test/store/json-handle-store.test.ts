import { execFileSync } from "node:child_process";
import {
  mkdir,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { VmRecord } from "@banger/core";
import { JsonHandleStore } from "../../src/store/json-handle-store.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { withoutAccess } from "../files/without-access.js";
import { recordingLogger } from "./recording-logger.js";
import { sampleVm, vmId } from "./sample-vm.js";

interface Fixture {
  readonly vm: VmRecord;
  readonly file: string;
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly store: JsonHandleStore;
}

async function setUp(): Promise<Fixture> {
  const vm = sampleVm(vmId(1), "web", await temporaryDirectory());
  await mkdir(vm.runtime.directory, { recursive: true });
  const logger = recordingLogger();
  return {
    vm,
    logger,
    file: join(vm.runtime.directory, "handles.json"),
    store: new JsonHandleStore({ logger }),
  };
}

const handles = { pid: 4242, pidStartTicks: 99, tapDevice: "tap-1" };

describe("JsonHandleStore", () => {
  it("keeps handles privately and for the next daemon", async () => {
    const { vm, file, logger, store } = await setUp();
    expect(await store.read(vm)).toBeUndefined();
    await store.write(vm, handles);
    expect(await store.read(vm)).toEqual(handles);
    expect(await new JsonHandleStore({ logger }).read(vm)).toEqual(handles);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(vm.runtime.directory)).toEqual(["handles.json"]);
    expect(logger.entries).toEqual([]);
  });

  it("answers from the cache", async () => {
    const { vm, file, store } = await setUp();
    await store.write(vm, handles);
    await rm(file);
    expect(await store.read(vm)).toEqual(handles);
  });

  it("does not remember what did not reach the disk", async () => {
    const { vm, store } = await setUp();
    await rm(vm.runtime.directory, { recursive: true });
    await expect(store.write(vm, handles)).rejects.toMatchObject({
      code: "ERR_PATH_UNUSABLE",
    });
    expect(await store.read(vm)).toBeUndefined();
  });

  it("keeps the file that is there when a write fails", async () => {
    const { vm, file, store } = await setUp();
    await store.write(vm, handles);
    await expect(
      store.write(vm, { pid: -1, pidStartTicks: 0 }),
    ).rejects.toThrow();
    expect(await store.read(vm)).toEqual(handles);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual(handles);
  });

  it("forgets, as often as asked", async () => {
    const { vm, store } = await setUp();
    await store.write(vm, handles);
    await store.clear(vm);
    await store.clear(vm);
    expect(await store.read(vm)).toBeUndefined();
    await rm(vm.runtime.directory, { recursive: true });
    await store.clear(vm);
  });

  it.each([
    ["half a file", '{"pid": 42'],
    ["nothing", ""],
    ["another type", "[]"],
    ["a pid that is every process", '{"pid": -1, "pidStartTicks": 1}'],
    ["init's pid", '{"pid": 1, "pidStartTicks": 1}'],
    ["no start time", '{"pid": 4242}'],
    ["an endless file", `{"pid": 4242, "x": "${"y".repeat(100_000)}"}`],
  ])("takes %s for none, and says so", async (_what, text) => {
    const { vm, file, logger, store } = await setUp();
    await writeFile(file, text);
    const { problem } = await store.load(vm);
    expect(problem).toMatch(/handles\.json is damaged: [^\n]+$/);
    expect(logger.entries).toEqual([]);
    expect(await store.read(vm)).toBeUndefined();
    expect(logger.entries).toMatchObject([
      { level: "warn", fields: { vmId: vm.id, problem } },
    ]);
    await store.write(vm, handles);
    expect(await store.read(vm)).toEqual(handles);
  });

  it("takes a directory in its place for none", async () => {
    const { vm, file, logger, store } = await setUp();
    await mkdir(file);
    expect(await store.read(vm)).toBeUndefined();
    expect(logger.entries).toHaveLength(1);
  });

  it("loads what the file holds, whatever the cache says", async () => {
    const { vm, file, store } = await setUp();
    expect(await store.load(vm)).toEqual({});
    await store.write(vm, handles);
    expect(await store.load(vm)).toEqual({ handles });
    const other = { pid: 77, pidStartTicks: 5 };
    await writeFile(file, JSON.stringify(other));
    expect(await store.load(vm)).toEqual({ handles: other });
    expect(await store.read(vm)).toEqual(other);
    await rm(file);
    expect(await store.load(vm)).toEqual({});
    expect(await store.read(vm)).toBeUndefined();
  });

  it("says why a file cannot be read, and never throws for it", async () => {
    const { vm, file, store } = await setUp();
    await writeFile(file, JSON.stringify(handles), { mode: 0o600 });
    await withoutAccess(vm.runtime.directory, async () => {
      const { problem } = await store.load(vm);
      expect(problem).toContain("handles.json cannot be read");
      await expect(store.write(vm, handles)).rejects.toMatchObject({
        code: "ERR_PATH_UNUSABLE",
      });
    });
    await rm(file);
    await symlink("handles.json", file);
    expect((await store.load(vm)).problem).toContain("cannot be read");
    await rm(vm.runtime.directory, { recursive: true });
    expect(await store.load(vm)).toEqual({});
    await writeFile(vm.runtime.directory, "");
    expect((await store.load(vm)).problem).toContain("cannot be read");
  });

  it("does not hang on a pipe in its place", async () => {
    const { vm, file, store } = await setUp();
    execFileSync("mkfifo", [file]);
    expect((await store.load(vm)).problem).toBeDefined();
  });
});
