import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ReconcileReport, VmRecord } from "@banger/core";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { vmmPids } from "../own-processes.js";
import { eventually, Home } from "./harness.js";

/** Small guests, for several at once. */
const small = ["--vcpu", "1", "--memory", "256M", "--disk-size", "64M"];

describe("a daemon that is killed, or works for long", () => {
  let home: Home;
  let before: HostInventory;
  beforeAll(async () => {
    home = new Home(
      `stats_poll_interval = "1h"\n${Home.dnsConfig(15380)}\n[vmm]\nstop_timeout = 60\n`,
    );
    // What an install makes once is there after its first start.
    await home.ok(["vm", "run", "--rm", ...small, "--", "true"]);
    before = takeInventory(home.path);
  });
  afterAll(() => home.remove());

  const list = async (): Promise<readonly VmRecord[]> =>
    (await home.json(["vm", "list", "-a", "--json"])) as readonly VmRecord[];
  const show = async (name: string): Promise<VmRecord> =>
    (await home.json(["vm", "show", name, "--json"])) as VmRecord;
  const vmms = (): number => vmmPids(home.path).length;

  it("leaves nothing and loses nothing when it dies while ten operations run", async () => {
    const create = (name: string): Promise<string> =>
      home.ok(["vm", "create", "--no-start", "--name", name, ...small]);
    const kept = ["one", "two", "three", "four", "five", "six"];
    await Promise.all(kept.map(create));
    await home.ok(["vm", "start", "one", "two", "three"]);
    const { pid } = (await home.json(["daemon", "status", "--json"])) as {
      pid: number;
    };
    const operations = [
      ...["one", "two"].map((name) => ["vm", "stop", name]),
      ["vm", "delete", "three"],
      ...["four", "five", "six"].map((name) => ["vm", "start", name]),
      ...["new-1", "new-2"].map((name) => [
        ...["vm", "run", "-d", "--name", name],
        ...small,
      ]),
      ["vm", "create", "--no-start", "--name", "new-3", ...small],
      ["vm", "set", "six", "--memory", "272M"],
    ].map((args) => home.run(args));
    expect(operations).toHaveLength(10);
    // Some of the five that start have a VMM, and nobody waits for the rest.
    await eventually("guests boot", () => Promise.resolve(vmms() > 4));
    process.kill(pid, "SIGKILL");
    await Promise.all(operations);

    const settled = await eventually("every VM is settled", async () => {
      const vms = await list();
      const busy = vms.some(
        ({ state, runtime }) =>
          runtime.provisional ??
          runtime.deleting ??
          (state !== "running" && runtime.prepared),
      );
      const running = vms.filter(({ state }) => state === "running").length;
      return !busy && vmms() === running && vms;
    });
    const left = new Set(settled.map(({ name }) => name));
    const optional = ["three", "new-1", "new-2", "new-3"];
    expect(
      kept.filter((name) => !left.has(name) && !optional.includes(name)),
    ).toEqual([]);
    expect(
      settled.filter(
        ({ state }) => !["created", "running", "stopped"].includes(state),
      ),
    ).toEqual([]);
    // Its guest may have been told to power off before the daemon died, and do so only now.
    await eventually("one starts and answers", async () => {
      await home.run(["vm", "start", "one"]);
      const args = ["vm", "exec", "one", "--", "cat", "/etc/hostname"];
      return (await home.run(args)).stdout === "one\n";
    });
    await home.ok(["vm", "delete", ...left]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });

  it.each([
    [
      "is not readable",
      (file: string): void => {
        writeFileSync(file, '{"pid": ');
      },
    ],
    [
      "is gone",
      (file: string): void => {
        rmSync(file);
      },
    ],
  ])(
    "adopts a guest whose handles.json %s, and says so",
    async (_how, harm) => {
      await home.ok(["vm", "run", "-d", "--name", "adopted", ...small]);
      const { runtime } = await show("adopted");
      await home.ok(["daemon", "stop"]);
      harm(join(runtime.directory, "handles.json"));
      // Starts the daemon; its status does not.
      await home.ok(["vm", "list"]);
      const report = await eventually("the report", async () => {
        const status = await home.json(["daemon", "status", "--json"]);
        return (status as { reconcile?: ReconcileReport }).reconcile;
      });
      expect(report.problems).toMatchObject([
        {
          vm: "adopted",
          text: expect.stringContaining("handles.json") as string,
        },
      ]);
      const vm = await show("adopted");
      expect(vm.state).toBe("running");
      expect(vm.runtime).not.toHaveProperty("problems");
      await home.ok(["vm", "exec", "adopted", "--", "true"]);
      await home.ok(["vm", "delete", "adopted"]);
      expect(leaks(before, takeInventory(home.path))).toEqual([]);
    },
  );

  it("says that a guest's agent is dead, and stops and starts that guest all the same", async () => {
    await home.ok(["vm", "run", "-d", "--name", "mute", ...small]);
    const write = "echo kept > /root/file";
    // Until the next boot the guest's init has nothing to bring back.
    const kill =
      'mount --bind /bin/false "$(command -v qemu-ga)"; pkill -KILL qemu-ga';
    const script = `${write}; ${kill}`;
    await home.ok(["vm", "exec", "mute", "--", "sh", "-c", script]);
    const ping = await home.run(["vm", "ping", "mute"]);
    expect(ping.status).toBe(1);
    expect(ping.stderr).toContain("[ERR_AGENT_");
    await home.ok(["vm", "stop", "mute"]);
    await home.ok(["vm", "start", "mute"]);
    expect(await home.ok(["vm", "ping", "mute"])).toContain("ms");
    const file = ["vm", "exec", "mute", "--", "cat", "/root/file"];
    expect(await home.ok(file)).toBe("kept\n");
    await home.ok(["vm", "delete", "mute"]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });

  it("has the descriptors, the memory and the rows of before after twenty VMs came and went", async () => {
    const cycle = async (name: string): Promise<void> => {
      await home.ok(["vm", "run", "-d", "--name", name, ...small]);
      await home.ok(["vm", "delete", name]);
    };
    const pid = await home.daemonPid();
    await cycle("warm-up");
    const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length;
    const residentMiB = (): number => {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    };
    const first = { descriptors: descriptors(), residentMiB: residentMiB() };
    const lane = async (name: string): Promise<void> => {
      for (let round = 0; round < 10; round++) await cycle(`${name}-${round}`);
    };
    await Promise.all([lane("left"), lane("right")]);
    expect(await home.daemonPid()).toBe(pid);
    expect(await list()).toEqual([]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
    // The last connections close by themselves.
    await eventually("descriptors are back", () =>
      Promise.resolve(descriptors() <= first.descriptors),
    );
    // What is kept for each VM would show: node returns memory late, so this is a bound and no equality.
    expect(residentMiB() - first.residentMiB).toBeLessThan(32);
  });
});
