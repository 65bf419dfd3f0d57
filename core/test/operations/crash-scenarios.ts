import type { VmService, VmState } from "@banger/core";
import { fakeOperation } from "@banger/core/testing";
import type { CrashWorld } from "./crash-world.js";

/** One operation on the VM "otter", and what comes before it. */
export interface Scenario {
  readonly name: string;
  readonly arrange: (world: CrashWorld) => Promise<unknown>;
  readonly act: (world: CrashWorld, signal: AbortSignal) => Promise<unknown>;
}

const created = ({ daemon }: CrashWorld): Promise<unknown> =>
  daemon.vmService.create({ name: "otter" }, fakeOperation());

const running = ({ daemon }: CrashWorld): Promise<unknown> =>
  daemon.vmService.launch({ name: "otter" }, fakeOperation());

const stopped = async (world: CrashWorld): Promise<unknown> => {
  await running(world);
  return world.daemon.vmService.stop("otter", {}, fakeOperation());
};

/** A VM whose guest never answered: state `error`, with its disk. */
const failed = async (world: CrashWorld): Promise<void> => {
  world.host.guestAgent.behaviour = "silent";
  await running(world).catch(() => undefined);
  world.host.guestAgent.behaviour = "answers";
};

const arrangements: Readonly<
  Record<VmState | "absent", (world: CrashWorld) => Promise<unknown>>
> = {
  absent: async () => undefined,
  created,
  running,
  stopped,
  error: failed,
};

type Act = (
  service: VmService,
  operation: ReturnType<typeof fakeOperation>,
  world: CrashWorld,
) => Promise<unknown>;

const on = (name: string, from: VmState | "absent", act: Act): Scenario => ({
  name: from === "absent" ? name : `${name} (${from})`,
  arrange: arrangements[from],
  act: (world, signal) =>
    act(world.daemon.vmService, fakeOperation(signal), world),
});

/** Everything that an owner can do to a VM. */
export const ownersOperations: readonly Scenario[] = [
  on("create", "absent", (service, operation) =>
    service.create({ name: "otter" }, operation),
  ),
  on("launch", "absent", (service, operation) =>
    service.launch({ name: "otter", nat: true }, operation),
  ),
  ...(["created", "stopped", "error"] as const).map((state) =>
    on("start", state, (service, operation) =>
      service.start("otter", operation),
    ),
  ),
  on("stop", "running", (service, operation) =>
    service.stop("otter", {}, operation),
  ),
  on("stop --force", "running", (service, operation) =>
    service.stop("otter", { force: true }, operation),
  ),
  ...(["running", "stopped"] as const).map((state) =>
    on("restart", state, (service, operation) =>
      service.restart("otter", operation),
    ),
  ),
  on("kill", "running", (service, operation) =>
    service.kill("otter", "TERM", operation),
  ),
  on("set", "stopped", (service, operation) =>
    service.reconfigure("otter", { vcpus: 2, memoryMiB: 512 }, operation),
  ),
  on("set --nat", "running", (service, operation) =>
    service.reconfigure("otter", { nat: true }, operation),
  ),
  on("rename", "stopped", (service, operation) =>
    service.reconfigure("otter", { name: "beaver" }, operation),
  ),
  ...(["created", "running", "stopped", "error"] as const).map((state) =>
    on("delete", state, (service, operation) =>
      service.delete("otter", operation),
    ),
  ),
  on("prune", "stopped", async (service, operation, world) => {
    const rows = await world.rows();
    return service.prune(
      rows.map(({ id }) => id),
      operation,
    );
  }),
  on("touch", "running", (service) => service.touch("otter")),
];

/** What a plugin refuses after another has agreed. */
export const refusals: readonly Scenario[] = [
  {
    name: "set --nat, refused (running)",
    arrange: async (world) => {
      await running(world);
      world.refusesLiveChanges = true;
    },
    act: async ({ daemon }, signal) => {
      const operation = fakeOperation(signal);
      const change = daemon.vmService.reconfigure(
        "otter",
        { nat: true },
        operation,
      );
      const isRefused = await change.then(
        () => false,
        () => true,
      );
      if (!isRefused) throw new Error("the plugin did not refuse");
    },
  },
];

/** A new daemon's reconcile, of what the one before left when it was killed at this call of the operation. */
const reconcileAfter = (
  name: string,
  { arrange, act }: Pick<Scenario, "arrange" | "act">,
  fault: {
    readonly call: string;
    readonly moment: "kill-before" | "kill-after";
  },
): Scenario => ({
  name: `reconcile after ${name}`,
  arrange: async (world) => {
    await arrange(world);
    const { signal } = new AbortController();
    const work = (): Promise<unknown> => act(world, signal);
    const killed = await world.killedAt({ at: 1, ...fault }, work);
    if (!killed) throw new Error(`${name} does not call ${fault.call}`);
    world.host.calls.expect();
  },
  act: (world, signal) =>
    world.begin().vmService.reconcile(fakeOperation(signal)),
});

const operation = (name: string): Scenario => {
  const found = ownersOperations.find((scenario) => scenario.name === name);
  if (!found) throw new Error(`there is no scenario ${name}`);
  return found;
};

/** Reconcile itself, of every kind of remains. */
export const reconciles: readonly Scenario[] = [
  reconcileAfter("launch", operation("launch"), {
    call: "guestAgent.waitReady",
    moment: "kill-before",
  }),
  reconcileAfter("start", operation("start (stopped)"), {
    call: "commands.run one prepareHost add",
    moment: "kill-after",
  }),
  reconcileAfter("stop", operation("stop (running)"), {
    call: "vmmDriver.kill",
    moment: "kill-after",
  }),
  reconcileAfter("touch", operation("touch (running)"), {
    call: "vmStore.update",
    moment: "kill-before",
  }),
  reconcileAfter("set", operation("set --nat (running)"), {
    call: "commands.run two configChange add",
    moment: "kill-after",
  }),
  reconcileAfter("delete", operation("delete (stopped)"), {
    call: "vmFiles.removeAll",
    moment: "kill-after",
  }),
];

/** The calls that one run makes when nothing goes wrong. */
export async function callsOf(
  scenario: Scenario,
  createWorld: () => Promise<CrashWorld>,
): Promise<readonly string[]> {
  const world = await createWorld();
  await scenario.arrange(world);
  world.host.calls.expect();
  await scenario.act(world, new AbortController().signal);
  return [...world.host.calls.log];
}
