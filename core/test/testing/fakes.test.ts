import { describe, expect, it } from "vitest";
import {
  FakeCommandRunner,
  FakeVmStore,
  fakeVm,
  fakeVmId,
  HostCalls,
  memoryLogger,
} from "@banger/core/testing";

const code = (expected: string) =>
  expect.objectContaining({ code: expected }) as Error;

describe("FakeCommandRunner", () => {
  const command = { file: "/usr/bin/tool", args: ["a"], timeoutMs: 1000 };

  it("plays scripts, keeps commands and judges the exit status", async () => {
    const runner = new FakeCommandRunner().install("tool", ({ args }) => ({
      exitCode: 3,
      stdout: args.join(),
    }));
    await expect(runner.run(command)).rejects.toThrow(
      code("ERR_COMMAND_FAILED"),
    );
    expect(await runner.run({ ...command, okExitCodes: [3] })).toEqual({
      exitCode: 3,
      stdout: "a",
      stderr: "",
    });
    expect(runner.commands).toHaveLength(2);
  });

  it("knows what is not installed", async () => {
    const runner = new FakeCommandRunner().install("tool");
    expect(await runner.find("tool")).toBe("/usr/sbin/tool");
    runner.uninstallAll();
    expect(await runner.find("tool")).toBeUndefined();
    await expect(runner.run(command)).rejects.toThrow(code("ERR_TOOL_MISSING"));
  });

  it("does not run after an abort", async () => {
    let ran = false;
    const runner = new FakeCommandRunner().install(
      "tool",
      () => void (ran = true),
    );
    await expect(
      runner.run({ ...command, signal: AbortSignal.abort() }),
    ).rejects.toThrow(code("ERR_CANCELLED"));
    expect(ran).toBe(false);
  });
});

describe("HostCalls", () => {
  it.each(["before", "after"] as const)(
    "fails the wanted call, %s its effect",
    async (moment) => {
      const calls = new HostCalls();
      const done: number[] = [];
      const call = (n: number) =>
        calls.call(`call ${String(n)}`, async () => done.push(n));
      calls.expect({ at: 2, moment });
      await call(1);
      await expect(call(2)).rejects.toThrow("call 2");
      await call(3);
      expect(done).toEqual(moment === "before" ? [1, 3] : [1, 2, 3]);
      expect(calls.log).toEqual(["call 1", "call 2", "call 3"]);
    },
  );

  it("counts the calls of one name alone, when it is told to", async () => {
    const calls = new HostCalls();
    calls.expect({ at: 2, call: "b", moment: "before" });
    const outcomes: string[] = [];
    for (const name of ["a", "b", "a", "b", "b"])
      await calls
        .call(name, async () => outcomes.push(`${name} done`))
        .catch(() => outcomes.push(`${name} failed`));
    expect(outcomes).toEqual([
      "a done",
      "b done",
      "a done",
      "b failed",
      "b done",
    ]);
  });

  it.each(["kill-before", "kill-after"] as const)(
    "stops every call of a daemon at %s, and none of its successor",
    async (moment) => {
      const calls = new HostCalls();
      const done: string[] = [];
      const first = calls.ofDaemon();
      const call = (daemon: typeof first, name: string) =>
        daemon.call(name, async () => done.push(name), []);
      calls.expect({ at: 2, moment });
      const { killed } = calls;
      const slow = first.call("slow", () => killed, []);
      const returned: string[] = [];
      void slow.then(() => returned.push("slow"));
      void call(first, "fault").then(() => returned.push("fault"));
      await killed;
      void call(first, "late").then(() => returned.push("late"));
      await call(calls.ofDaemon(), "next");
      expect(returned).toEqual([]);
      expect(done).toEqual(
        moment === "kill-after" ? ["fault", "next"] : ["next"],
      );
    },
  );
});

describe("FakeVmStore", () => {
  const other = { id: fakeVmId(2), name: "quiet-fox" };

  it("refuses a name that is taken, also by renaming, and leases free numbers", async () => {
    const store = new FakeVmStore([fakeVm()]);
    await expect(
      store.insert("calm-otter", () => fakeVm(other)),
    ).rejects.toThrow(code("ERR_VM_NAME_TAKEN"));
    const leases: number[] = [];
    await store.insert(
      other.name,
      (lease) => (leases.push(lease), fakeVm(other)),
    );
    await expect(
      store.update(other.id, () => ({ name: "calm-otter" })),
    ).rejects.toThrow(code("ERR_VM_NAME_TAKEN"));
    await store.remove(fakeVmId(1));
    await store.insert(
      "calm-otter",
      (lease) => (leases.push(lease), fakeVm({ id: fakeVmId(3) })),
    );
    expect(leases).toEqual([2, 1]);
  });

  it("changes the record as it is now, and misses one that is gone", async () => {
    const store = new FakeVmStore([fakeVm()]);
    const changed = await store.update(fakeVmId(), () => ({
      state: "running",
    }));
    expect(changed.state).toBe("running");
    expect(await store.find(fakeVmId())).toEqual(changed);
    await store.remove(fakeVmId());
    await store.remove(fakeVmId());
    await expect(store.update(fakeVmId(), () => ({}))).rejects.toThrow(
      code("ERR_VM_GONE"),
    );
  });
});

describe("memoryLogger", () => {
  it("keeps entries of children with the fields of both", () => {
    const logger = memoryLogger();
    logger.child({ plugin: "nat" }).warn("Rule left", { rule: 1 });
    expect(logger.entries).toEqual([
      {
        level: "warn",
        message: "Rule left",
        fields: { plugin: "nat", rule: 1 },
      },
    ]);
  });
});
