import { setTimeout as sleep } from "node:timers/promises";
import type { VmRecord } from "@banger/core";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import type { Install } from "../install.js";
import { isEgressLive } from "../outside.js";
import type { KillDaemon } from "./kill-daemon.js";
import {
  createArguments,
  defaultImage,
  type KillOperation,
  type SubjectState,
} from "./operations.js";
import type { KillPoint } from "./points.js";

/** Longest time for the next daemon to make everything right, ms. */
const settleLimitMs = 20_000;

/** A running VM whose way out is open has rules that others have not. */
const egressState = "running, with NAT";

type ReferenceState = SubjectState | typeof egressState;

/** What came of one point. */
export interface PointResult {
  readonly operation: string;
  readonly point: KillPoint;
  /** the call in which the daemon died; absent when it answered first and was killed then */
  readonly diedIn: string | undefined;
  /** state of the VM or image after the next daemon has reconciled */
  readonly end: string;
  /** what is there and should not be, what is missing, what is wrong with the record; a line each */
  readonly problems: readonly string[];
  /** from the command to the settled state, ms */
  readonly durationMs: number;
}

/**
 * One install with one VM, or none, in which operations are run and their daemon dies. Before the first point it looks at everything
 * once undisturbed: what there is in each state is what there may be in that state afterwards.
 */
export class KillLane {
  readonly #install: Install;
  readonly #daemon: KillDaemon;
  readonly #references = new Map<ReferenceState, HostInventory>();

  constructor(install: Install, daemon: KillDaemon) {
    this.#install = install;
    this.#daemon = daemon;
  }

  /** Looks at each state that a subject has when all goes well. */
  async lookAt(subject: KillOperation["subject"]): Promise<void> {
    if (subject === "image") {
      await this.#bring(subject, "absent");
      // Images are no part of the inventory: with and without one it is the same.
      for (const state of ["absent", "built"] as const) this.#remember(state);
      return;
    }
    // What an install makes once is there after the first start, so nothing of that counts as a leak.
    await this.#bring(subject, "running");
    await this.#bring(subject, "absent");
    for (const state of ["absent", "created", "running", "stopped"] as const) {
      await this.#bring(subject, state);
      this.#remember(state);
      if (state === "running" && isEgressLive) await this.#lookAtEgress();
    }
  }

  /** Looks at a running VM whose way out is open. */
  async #lookAtEgress(): Promise<void> {
    const [vm] = await this.#vms();
    const set = ["vm", "set", vm?.id ?? ""];
    await this.#install.ok([...set, "--nat"]);
    this.#remember(egressState);
    await this.#install.ok([...set, "--no-nat"]);
  }

  /** Runs it undisturbed. @returns the names of its calls */
  async count(operation: KillOperation): Promise<readonly string[]> {
    const vm = await this.#prepare(operation);
    await this.#daemon.arm({ isCounting: true });
    const { status, stderr } = await this.#install.run(operation.args(vm));
    const calls = this.#daemon.calls();
    await this.#daemon.arm({ isCounting: false });
    if ((status === 0) === (operation.isRefused === true))
      throw new Error(
        `${operation.name} ended with ${String(status)}:\n${stderr}`,
      );
    return calls;
  }

  /** Runs it with a daemon that dies at this point, lets the next one reconcile, and looks. */
  async kill(operation: KillOperation, point: KillPoint): Promise<PointResult> {
    const before = await this.#prepare(operation);
    await this.#daemon.arm({
      isCounting: true,
      at: point.at,
      moment: point.moment,
    });
    const started = performance.now();
    await this.#install.run(operation.args(before));
    const died = await this.#daemon.died();
    const { end, problems } = await this.#settle(operation, before);
    return {
      operation: operation.name,
      point,
      diedIn: died ? this.#daemon.calls().at(-1) : undefined,
      end,
      problems,
      durationMs: performance.now() - started,
    };
  }

  /** The VM is whole: it starts, runs a command, and goes with everything it had. @returns what is wrong, a line each */
  async finish(operation: KillOperation): Promise<readonly string[]> {
    if (operation.subject === "image") {
      await this.#bring("image", "absent");
      return this.#difference("absent");
    }
    await this.#bring("vm", "running");
    const [vm] = await this.#vms();
    await this.#install.ok(["vm", "exec", vm?.name ?? "", "--", "true"]);
    await this.#bring("vm", "absent");
    return this.#difference("absent");
  }

  async #prepare(operation: KillOperation): Promise<VmRecord | undefined> {
    await this.#bring(operation.subject, operation.needs);
    const [vm] = await this.#vms();
    await this.#daemon.start();
    return vm;
  }

  async #settle(
    operation: KillOperation,
    before: VmRecord | undefined,
  ): Promise<Pick<PointResult, "end" | "problems">> {
    const deadline = performance.now() + settleLimitMs;
    for (;;) {
      const result = await this.#look(operation, before);
      const isOver = performance.now() > deadline;
      if (result.problems.length === 0 || isOver) return result;
      await sleep(250);
    }
  }

  async #look(
    operation: KillOperation,
    before: VmRecord | undefined,
  ): Promise<Pick<PointResult, "end" | "problems">> {
    const end = await this.#state(operation.subject);
    const [vm] = await this.#vms();
    const legal = operation.ends.find((state) => state === end);
    if (legal === undefined)
      return {
        end,
        problems: [
          `its state is ${end}: ${vm?.runtime.lastError ?? "no reason"}`,
        ],
      };
    return {
      end,
      problems: [
        ...this.#difference(
          legal === "running" && vm?.spec.nat ? egressState : legal,
        ),
        ...(vm ? unfinished(vm) : []),
        ...(vm && before && vm.id !== before.id ? ["it is another VM"] : []),
        ...(vm && before ? (operation.check?.(before, vm) ?? []) : []),
      ],
    };
  }

  #remember(state: ReferenceState): void {
    this.#references.set(state, this.#inventory());
  }

  /** What is on the host and should not be in this state, and the other way round. */
  #difference(state: ReferenceState): readonly string[] {
    const reference = this.#references.get(state);
    if (!reference) throw new Error(`never looked at ${state}`);
    const found = this.#inventory();
    return [
      ...leaks(reference, found).map((entry) => `left: ${entry}`),
      ...leaks(found, reference).map((entry) => `missing: ${entry}`),
    ];
  }

  #inventory(): HostInventory {
    return takeInventory(this.#install.path).map(withoutIdentity).sort();
  }

  async #vms(): Promise<readonly VmRecord[]> {
    const args = ["vm", "list", "-a", "--json"];
    return (await this.#install.json(args)) as readonly VmRecord[];
  }

  async #state(subject: KillOperation["subject"]): Promise<string> {
    if (subject === "vm") {
      const [vm, ...more] = await this.#vms();
      return more.length > 0 ? "several VMs" : (vm?.state ?? "absent");
    }
    const args = ["image", "list", "--json"];
    const { length } = (await this.#install.json(args)) as readonly unknown[];
    return length > 1 ? "several images" : length === 1 ? "built" : "absent";
  }

  /** Through the command line, by the way that a user would take. */
  async #bring(
    subject: KillOperation["subject"],
    wanted: SubjectState,
  ): Promise<void> {
    const state = await this.#state(subject);
    if (state === wanted) return;
    const cli = this.#install;
    if (subject === "image") {
      const verb = wanted === "absent" ? "delete" : "build";
      await cli.ok(["image", verb, defaultImage]);
      return;
    }
    const [vm] = await this.#vms();
    if (wanted === "absent") {
      await cli.ok(["vm", "delete", vm?.id ?? ""]);
    } else if (vm === undefined) {
      await cli.ok(createArguments);
      await this.#bring(subject, wanted);
    } else if (wanted === "running") {
      await cli.ok(["vm", "start", vm.id]);
    } else if (wanted === "stopped" && state === "running") {
      await cli.ok(["vm", "stop", vm.id]);
    } else if (wanted === "stopped") {
      await this.#bring(subject, "running");
      await this.#bring(subject, wanted);
    } else {
      await this.#bring(subject, "absent");
      await this.#bring(subject, wanted);
    }
  }
}

/** Marks in the record of an operation that nobody finished. */
function unfinished({ state, runtime }: VmRecord): readonly string[] {
  const { changing, deleting, provisional, prepared } = runtime;
  return [
    ...(changing ? ["the record still says that a change is under way"] : []),
    ...(deleting ? ["the record still says that it is being deleted"] : []),
    ...(provisional ? ["the record is still provisional"] : []),
    ...(prepared && state !== "running"
      ? ["the record still says that something is prepared"]
      : []),
  ];
}

/** Two looks at the same thing differ in ids, pids, names and addresses. Pure. */
function withoutIdentity(entry: string): string {
  return entry
    .replace(/^process \d+/, "process")
    .replaceAll(/\b[0-9a-f]{12}\b/g, "<id>")
    .replaceAll(/127\.7[78]\.\d+\.\d+|172\.16\.\d+\.\d+/g, "<address>")
    .replaceAll(/\btap-(?:fc-[0-9a-f]{8}|pool-[0-9]+)\b/g, "<tap>")
    .replaceAll(/\bfc-rootfs-[0-9a-f]+\b/g, "<disk>")
    .replace(/^block device (loop|dm-)\d+/, "block device $1")
    .replaceAll(/\bkill-[ab]\b/g, "<name>");
}
