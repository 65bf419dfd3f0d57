import type { VmId, VmRecord } from "@banger/core";
import { describe, expect, it } from "vitest";
import {
  operation,
  startFakeDaemon,
  type FakeRequest,
} from "../fake-daemon.js";
import { run, type RunOptions } from "../run.js";
import { sampleVm } from "../sample-vm.js";
import { temporaryDirectory } from "../temporary-directory.js";

const vm = (
  digit: string,
  name: string,
  changes: Partial<VmRecord>,
): VmRecord => sampleVm({ id: digit.repeat(12) as VmId, name, ...changes });
const running = vm("a", "runs", { state: "running" });
const stopped = vm("b", "halted", { state: "stopped" });
const created = vm("c", "fresh", { state: "created" });
const broken = vm("d", "broken", { state: "error" });
const starting = vm("e", "starting", {
  state: "created",
  runtime: { ...created.runtime, provisional: true },
});
const doomed = [stopped, created, broken];

async function prune(
  options: readonly string[],
  more: Partial<RunOptions> = {},
  vms: readonly VmRecord[] = [running, ...doomed, starting],
): Promise<
  Awaited<ReturnType<typeof run>> & { pruned: readonly FakeRequest[] }
> {
  const home = await temporaryDirectory();
  const { requests } = await startFakeDaemon(home, {
    "GET /v1/vms": vms,
    "POST /v1/vms/prune": operation({
      type: "result",
      // The last one was started meanwhile.
      value: doomed.slice(0, 2),
      elapsedMs: 1,
    }),
  });
  const ended = await run(["vm", "prune", ...options], { home, ...more });
  const pruned = requests.filter(({ url }) => url === "/v1/vms/prune");
  return { ...ended, pruned };
}

describe("vm prune", () => {
  it("deletes what does not run by its ids, and prints what the daemon deleted", async () => {
    const { pruned, ...ended } = await prune(["-f"]);
    expect(ended).toEqual({
      status: 0,
      stdout: "halted\nfresh\n",
      stderr: "broken was not deleted: it was started meanwhile\n",
    });
    expect(pruned.map(({ body }) => body)).toEqual([
      { ids: doomed.map(({ id }) => id) },
    ]);
    const { stdout, stderr } = await prune(["--force", "--json"]);
    expect(JSON.parse(stdout)).toEqual(doomed.slice(0, 2));
    expect(stderr).toBe("");
  });

  it("says nothing of a VM that somebody else deleted meanwhile", async () => {
    const home = await temporaryDirectory();
    let looks = 0;
    await startFakeDaemon(home, {
      "GET /v1/vms": (_: unknown, response: { end(text: string): void }) => {
        looks += 1;
        response.end(JSON.stringify(looks === 1 ? [stopped, broken] : []));
      },
      "POST /v1/vms/prune": operation({
        type: "result",
        value: [stopped],
        elapsedMs: 1,
      }),
    });
    const ended = await run(["vm", "prune", "-f"], { home });
    expect(ended).toEqual({ status: 0, stdout: "halted\n", stderr: "" });
    expect(looks).toBe(2);
  });

  it("refuses without a terminal and without --force", async () => {
    const { pruned, ...ended } = await prune([]);
    expect(ended).toMatchObject({ status: 2, stdout: "" });
    expect(ended.stderr).toContain("3 VMs would be deleted");
    expect(ended.stderr).toContain("there is no terminal to ask on");
    expect(ended.stderr).toContain("banger vm prune --force");
    expect(pruned).toEqual([]);
  });

  it("is fine when there is nothing", async () => {
    const { pruned, ...ended } = await prune([], {}, [running, starting]);
    expect(ended).toEqual({
      status: 0,
      stdout: "",
      stderr: "nothing to prune\n",
    });
    expect(pruned).toEqual([]);
    const json = await prune(["--json"], {}, [running]);
    expect(json).toMatchObject({ status: 0, stdout: "[]\n", stderr: "" });
  });

  it.each(["y\r", "yes\r", "Y\n", " YES \r\n"])(
    "shows on a terminal what would go, and goes on after %j",
    async (typed) => {
      const { pruned, ...ended } = await prune([], {
        terminal: true,
        stdin: Buffer.from(typed),
      });
      expect(ended.status).toBe(0);
      for (const { name } of doomed) expect(ended.stderr).toContain(name);
      expect(ended.stderr).not.toContain("runs");
      expect(ended.stderr).not.toContain("starting");
      expect(ended.stderr).toContain("Delete 3 VMs and their disks? [y/N] ");
      expect(pruned).toHaveLength(1);
    },
  );

  it.each([
    ["no", "n\r"],
    ["Enter", "\r"],
    ["what begins like yes", "yep\r"],
    ["what has a y in it", "maybe\r"],
    ["y and the end of the input, but no Enter", "y"],
    ["Ctrl-D", "\u0004"],
  ])("deletes nothing after %s, and says so", async (_what, typed) => {
    const { pruned, ...ended } = await prune(
      [],
      { terminal: true, stdin: Buffer.from(typed) },
      [stopped],
    );
    expect(ended).toMatchObject({ status: 0, stdout: "" });
    expect(ended.stderr).toContain("Delete 1 VM and its disks? [y/N] ");
    expect(ended.stderr).toMatch(/\nnothing was deleted\n$/);
    expect(pruned).toEqual([]);
  });

  it("deletes nothing after Ctrl-C", async () => {
    const { pruned, ...ended } = await prune([], {
      terminal: true,
      stdin: Buffer.from("y\u0003\r"),
    });
    expect(ended).toMatchObject({ status: 130, stdout: "" });
    expect(ended.stderr).toMatch(/\ncancelled\n$/);
    expect(pruned).toEqual([]);
  });
});
