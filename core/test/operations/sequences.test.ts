import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  describeError,
  isBangerError,
  type OperationContext,
  type VmService,
} from "@banger/core";
import { fakeOperation } from "@banger/core/testing";
import { CrashWorld } from "./crash-world.js";

beforeEach(
  () => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }),
);
afterEach(() => void vi.useRealTimers());

// None of them can begin an id, which are hexadecimal: a name that is gone would reach another VM.
const names = ["ant", "owl", "yak"] as const;
const anyName = fc.constantFrom(...names);

type Work = (
  service: VmService,
  operation: OperationContext,
) => Promise<unknown>;

/** What one client asks for; prints as a line. */
class Request {
  readonly text: string;
  readonly work: Work;
  /** turns of the event loop after which the client leaves */
  readonly patience: number | undefined;

  constructor(text: string, patience: number | undefined, work: Work) {
    this.text = patience === undefined ? text : `${text}, cancelled`;
    this.patience = patience;
    this.work = work;
  }

  toString(): string {
    return this.text;
  }
}

/** Something that happens to the host. */
class Event {
  readonly text: string;
  readonly happen: (world: CrashWorld) => Promise<void> | void;

  constructor(text: string, happen: Event["happen"]) {
    this.text = text;
    this.happen = happen;
  }

  toString(): string {
    return this.text;
  }
}

const ofOne: Readonly<Record<string, (name: string) => Work>> = {
  create: (name) => (service, operation) => service.create({ name }, operation),
  launch: (name) => (service, operation) =>
    service.launch({ name, nat: true }, operation),
  start: (name) => (service, operation) => service.start(name, operation),
  stop: (name) => (service, operation) => service.stop(name, {}, operation),
  "stop by force": (name) => (service, operation) =>
    service.stop(name, { force: true }, operation),
  restart: (name) => (service, operation) => service.restart(name, operation),
  kill: (name) => (service, operation) => service.kill(name, "TERM", operation),
  delete: (name) => (service, operation) => service.delete(name, operation),
  "set nat": (name) => (service, operation) =>
    service.reconfigure(name, { nat: true }, operation),
  "set no nat": (name) => (service, operation) =>
    service.reconfigure(name, { nat: false }, operation),
  "set vcpus": (name) => (service, operation) =>
    service.reconfigure(name, { vcpus: 2 }, operation),
  touch: (name) => (service) => service.touch(name),
  prune: (name) => async (service, operation) =>
    service.prune([(await service.get(name)).id], operation),
};

const request = fc
  .tuple(
    fc.constantFrom(...Object.keys(ofOne), "rename"),
    anyName,
    anyName,
    fc.option(fc.nat(20), { nil: undefined, freq: 5 }),
  )
  .map(([verb, name, other, patience]) => {
    const work = ofOne[verb]?.(name);
    if (work) return new Request(`${verb} ${name}`, patience, work);
    return new Request(
      `rename ${name} to ${other}`,
      patience,
      (service, operation) =>
        service.reconfigure(name, { name: other }, operation),
    );
  });

const event = fc.oneof(
  fc
    .tuple(
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom("kill-before", "kill-after"),
    )
    .map(
      ([at, moment]) =>
        new Event(`${moment} ${String(at)} calls from now`, ({ host }) =>
          host.calls.expect({ at, moment }),
        ),
    ),
  anyName.map(
    (name) =>
      new Event(`the guest ${name} powers off`, async (world) => {
        const vm = await world.row(name);
        if (vm?.state === "running") world.host.vmm.end(vm.id);
      }),
  ),
);

const client = fc.array(
  fc.oneof({ weight: 6, arbitrary: request }, { weight: 1, arbitrary: event }),
  { minLength: 1, maxLength: 10 },
);

/** Clients of the daemon of the moment: when it is killed, another one begins, and they go on with that. */
class Session {
  readonly world: CrashWorld;
  /** what went wrong that may not, whatever the clients do */
  readonly faults: string[] = [];
  /** No daemon begins any more by itself. */
  readonly end: () => void;
  #ready: Promise<unknown> = Promise.resolve();

  constructor(world: CrashWorld) {
    this.world = world;
    const { calls } = world.host;
    const { onKill } = calls;
    calls.onKill = () => {
      onKill();
      this.#ready = this.#begin();
    };
    this.end = () => void (calls.onKill = onKill);
  }

  async play(steps: readonly (Request | Event)[]): Promise<void> {
    for (const step of steps)
      if (step instanceof Event) await step.happen(this.world);
      else await this.ready(() => this.#ask(step));
  }

  /** When the daemon of the moment has reconciled. What is next begins in the same turn: in another one that daemon may be killed. */
  async ready(next: () => Promise<void>): Promise<void> {
    for (let seen: unknown; seen !== this.#ready;) {
      seen = this.#ready;
      await this.#ready;
    }
    await next();
  }

  async #ask({ text, work, patience }: Request): Promise<void> {
    const { killed } = this.world.host.calls;
    const aborts = new AbortController();
    if (patience !== undefined) void leave(aborts, patience);
    const asked = work(
      this.world.daemon.vmService,
      fakeOperation(aborts.signal),
    );
    try {
      await Promise.race([asked, killed]);
    } catch (error) {
      // Nothing fails here by itself, so these are the operations' own doing.
      const bugs = ["ERR_START_FAILED", "ERR_SEVERAL", "ERR_PLUGIN_FAULT"];
      if (!isBangerError(error) || bugs.includes(error.code))
        this.faults.push(`${text}: ${describeError(error)}`);
    }
  }

  async #begin(): Promise<void> {
    // The kill that this follows is over then.
    await Promise.resolve();
    const { calls } = this.world.host;
    calls.expect();
    const { killed } = calls;
    const { vmService } = this.world.begin();
    await Promise.race([vmService.reconcile(fakeOperation()), killed]);
  }
}

async function leave(aborts: AbortController, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
  await setImmediate();
  aborts.abort();
}

/** @throws Error when work that waits for nothing but the fakes has not ended after so many turns of the event loop */
async function withoutHanging(work: Promise<unknown>): Promise<void> {
  const progress = { ended: false };
  const end = (): void => void (progress.ended = true);
  void work.then(end, end);
  for (let turn = 0; !progress.ended; turn++) {
    if (turn > 2_000) throw new Error("an operation hangs");
    await setImmediate();
  }
  await work;
}

describe("any sequence of operations from up to three clients", () => {
  it("keeps every VM in a legal state, and rows and things in agreement", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(client, { minLength: 1, maxLength: 3 }),
        async (clients) => {
          const world = await CrashWorld.create();
          const session = new Session(world);
          await withoutHanging(
            Promise.all(clients.map((steps) => session.play(steps))),
          );
          await withoutHanging(session.ready(() => Promise.resolve()));
          session.end();
          world.host.calls.expect();
          // A guest that has just powered off is being cleaned up.
          await setImmediate();
          await withoutHanging(world.daemon.vmService.close());
          await world.expectSettled();
          expect(session.faults).toEqual([]);
          // Illegal moves and second VMMs throw; those of the background end in the log.
          const logged = world.logger.entries.flatMap(({ level, fields }) =>
            level === "error" ? [describeError(fields["error"])] : [],
          );
          expect(
            logged.filter((text) => /cannot go from|a second VMM/.test(text)),
          ).toEqual([]);
          const rows = await world.host.vmStore.list();
          expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
          await world.succeed();
          await world.expectSettled();
          await world.expectUsable();
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);
});
