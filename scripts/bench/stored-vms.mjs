// Records of VMs in the state database of an install whose daemon does not run, and the files beside them.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

const plugins = ["work-disk", "file-sync", "dns", "nat"];
const day = "2026-01-02T03:04:05.000Z";

/** What a start leaves in a record: its stages and hooks. */
const lastStart = [
  ...["image", "reserve", "preflight", "vmm", "configure", "prepare"],
  ...["launch", "boot", "connect", "publish"],
].flatMap((stage, index) => [
  { kind: "stage", name: stage, startMs: index * 500, durationMs: 500 },
  ...(index % 2 === 0
    ? []
    : plugins.slice(1).map((id) => ({
        kind: "hook",
        name: `${id} ${stage}`,
        startMs: index * 500,
        durationMs: 100,
      }))),
]);

/** Stores `count` stopped VMs, `vm-1` and so on, as if each had run once. */
export async function storeVms(install, count) {
  const { fakeVm, fakeVmId } = await import(
    join(root, "core/dist/testing/index.js")
  );
  const vms = Array.from({ length: count }, (_, index) => {
    const number = index + 1;
    const id = fakeVmId(number);
    const guestIp = `127.77.${number >> 8}.${number & 255}`;
    return fakeVm({
      ...{ id, name: `vm-${number}`, state: "stopped" },
      ...{ createdAt: day, updatedAt: day },
      spec: { plugins },
      runtime: {
        ...directoriesOf(install, id),
        guestIp,
        ssh: { host: guestIp, port: 22 },
        ...{ driver: "qemu", accel: "emulate", startedPlugins: plugins },
        ...{ lastStart, lastUsedAt: day },
      },
    });
  });
  await inStore(install, async (store) => {
    for (const vm of vms) {
      await store.insert(vm.name, () => vm);
      const { directory } = vm.runtime;
      mkdirSync(directory, { mode: 0o700, recursive: true });
      for (const log of ["console.log", "vmm.log"])
        writeFileSync(join(directory, log), "", { mode: 0o600 });
    }
  });
}

/** Makes the first `count` of them what a host that went down leaves: `running`, with the handles of a process that is gone. */
export async function crashVms(install, count) {
  await inStore(install, async (store) => {
    for (const { id, runtime } of (await store.list()).slice(0, count)) {
      await store.update(id, () => ({
        state: "running",
        runtime: { ...runtime, prepared: true },
      }));
      writeFileSync(
        join(runtime.directory, "handles.json"),
        JSON.stringify({ pid: 4_194_303, pidStartTicks: 1 }),
        { mode: 0o600 },
      );
    }
  });
}

function directoriesOf({ home }, id) {
  return {
    directory: join(home, "state/vms", id),
    runDirectory: join(home, "run/vms", id),
  };
}

async function inStore(install, work) {
  const load = (file) => import(join(root, "host/dist/store", file));
  const { openDatabase } = await load("database.js");
  const { SqliteVmStore } = await load("sqlite-vm-store.js");
  const database = openDatabase(join(install.home, "state/state.db"));
  // Waiting for the disk a thousand times is not what is measured.
  database.pragma("synchronous = OFF");
  const store = new SqliteVmStore({
    database,
    logger: console,
    directoriesOf: (id) => directoriesOf(install, id),
  });
  try {
    await work(store);
  } finally {
    store.close();
  }
}
