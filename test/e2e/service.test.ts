import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { Home, type Outcome } from "./harness.js";

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly spec: { readonly memoryMiB: number };
  readonly runtime: {
    readonly dnsName: string;
    readonly guestIp: string;
    readonly lastUsedAt?: string;
    readonly lastStart?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly failed?: true;
    }[];
  };
}

// Three VMs go through everything: `web` and `data` run, `spare` does not.
describe("the VM service", () => {
  const dnsPort = 15374;
  let home: Home;
  let before: HostInventory;
  beforeAll(async () => {
    home = new Home(Home.dnsConfig(dnsPort));
    before = takeInventory(home.path);
    const size = ["--memory", "512M", "--disk-size", "64M"];
    await home.ok(["vm", "create", "--name", "spare", "--no-start", ...size]);
    await Promise.all(
      ["web", "data"].map((name) =>
        home.ok(["vm", "create", "--name", name, ...size]),
      ),
    );
  });
  afterAll(() => home.remove());

  const show = async (name: string): Promise<Shown> =>
    (await home.json(["vm", "show", name, "--json"])) as Shown;
  const stateOf = async (name: string): Promise<string> =>
    (await show(name)).state;
  const guest = (name: string, ...argv: string[]): Promise<string> =>
    home.ok(["vm", "exec", name, "--", ...argv]);
  const bootId = (name: string): Promise<string> =>
    guest(name, "cat", "/proc/sys/kernel/random/boot_id");
  const write = (name: string, text: string): Promise<string> =>
    guest(name, "sh", "-c", `echo ${text} > /root/file; echo ${text} > /etc/f`);
  const read = (name: string): Promise<string> =>
    guest(name, "cat", "/root/file", "/etc/f");
  const lookUp = (name: string): Promise<string[]> => {
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    resolver.setServers([`127.0.0.1:${String(dnsPort)}`]);
    return resolver.resolve4(`${name}.vm`);
  };
  /** What is left of runs: nothing, when no VM runs. */
  const leftOfRuns = (): HostInventory =>
    leaks(before, takeInventory(home.path)).filter(
      (entry) => !/^(VM directory|row)/.test(entry),
    );

  /** Begins a command and resolves when its progress shows this stage. */
  async function until(
    stage: string,
    args: readonly string[],
  ): Promise<{ ended: Promise<Outcome> }> {
    const child: ChildProcessWithoutNullStreams = home.start(args);
    child.stdin.end();
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    const ended = new Promise<Outcome>((resolve) => {
      child.on("close", (status) => {
        resolve({ status, stdout, stderr });
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.stderr.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
        if (stderr.includes(`${stage}: `)) resolve();
      });
      child.on("close", () => {
        reject(new Error(`ended before ${stage}:\n${stderr}`));
      });
    });
    return { ended };
  }

  it("restarts with a new boot id, what was just written, and a timeline", async () => {
    const boot = await bootId("web");
    await write("web", "fresh");
    const { status, stdout, stderr } = await home.run(["vm", "restart", "web"]);
    expect(stderr).toMatch(/^ready in \d+\.\d s: web$/m);
    expect({ status, stdout }).toEqual({ status: 0, stdout: "web\n" });
    expect(await bootId("web")).not.toBe(boot);
    expect(await read("web")).toBe("fresh\nfresh\n");
    const { lastStart = [] } = (await show("web")).runtime;
    expect(lastStart.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["boot", "publish", "dns postStart"]),
    );
    const timeline = await home.ok(["vm", "show", "web", "--timeline"]);
    expect(timeline).toMatch(/ s {2}boot$/m);
    expect(timeline).toMatch(/ms {4}dns postStart$/m);
    expect(
      await home.json(["vm", "show", "web", "--timeline", "--json"]),
    ).toEqual(lastStart);
  });

  it("serves those of several that are there, in the order named", async () => {
    const argv = ["vm", "stop", "data", "nobody", "spare", "data"];
    const { status, stdout, stderr } = await home.run(argv);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "data\nspare\n" });
    expect(stderr).toContain("ERR_VM_NOT_FOUND");
    expect(stderr).toContain("already stopped: spare");
    expect(await stateOf("data")).toBe("stopped");
  });

  it("counts a touch as use", async () => {
    const { lastUsedAt = "" } = (await show("web")).runtime;
    await home.ok(["vm", "touch", "web"]);
    const touched = (await show("web")).runtime.lastUsedAt ?? "";
    expect(Date.parse(touched)).toBeGreaterThan(Date.parse(lastUsedAt));
  });

  it("sets two VMs at once, and renames one that does not run", async () => {
    const argv = ["vm", "set", "spare", "data", "--memory", "640M"];
    expect(await home.ok(argv)).toBe("spare\ndata\n");
    expect((await show("spare")).spec.memoryMiB).toBe(640);
    expect((await show("data")).spec.memoryMiB).toBe(640);
    const refused = await home.run(["vm", "set", "web", "--name", "www"]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("ERR_VM_STATE");
    const taken = await home.run(["vm", "set", "data", "--name", "web"]);
    expect(taken.stderr).toContain("ERR_VM_NAME_TAKEN");
    await home.ok(["vm", "set", "data", "--name", "store"]);
    await home.ok(["vm", "start", "store"]);
    expect(await guest("store", "hostname")).toBe("store\n");
    const { dnsName, guestIp } = (await show("store")).runtime;
    expect(dnsName).toBe("store.vm");
    expect(await lookUp("store")).toEqual([guestIp]);
    await expect(lookUp("data")).rejects.toMatchObject({ code: "ENOTFOUND" });
    expect((await home.run(["vm", "show", "data"])).status).toBe(1);
  });

  it("keeps what was just written, also when the guest's agent was killed", async () => {
    await write("web", "saved");
    await write("store", "saved");
    await guest("web", "pkill", "-KILL", "qemu-ga");
    const { status, stdout } = await home.run(["vm", "stop", "--all"]);
    expect(status).toBe(0);
    expect(stdout.split("\n").filter(Boolean).sort()).toEqual(["store", "web"]);
    expect(leftOfRuns()).toEqual([]);
    const again = await home.run(["vm", "stop", "--all"]);
    expect(again).toMatchObject({ status: 0, stdout: "" });
    await home.ok(["vm", "start", "web", "store"]);
    expect(await read("web")).toBe("saved\nsaved\n");
    expect(await read("store")).toBe("saved\nsaved\n");
  });

  it("kills at once or with another signal, and leaves nothing of the run", async () => {
    expect(await home.ok(["vm", "kill", "web"])).toBe("web\n");
    expect(await stateOf("web")).toBe("stopped");
    await home.ok(["vm", "kill", "--signal", "TERM", "store"]);
    expect(await stateOf("store")).toBe("stopped");
    expect(leftOfRuns()).toEqual([]);
    const { stderr } = await home.run(["vm", "kill", "web"]);
    expect(stderr).toBe("already stopped: web\n");
  });

  it("stops a VM whose start is under way, and tells who started it", async () => {
    const start = await until("boot", ["vm", "start", "web"]);
    await home.ok(["vm", "stop", "web"]);
    const { status, stdout, stderr } = await start.ended;
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("stop");
    expect(await stateOf("web")).toBe("stopped");
    expect(leftOfRuns()).toEqual([]);
    await home.ok(["vm", "start", "web"]);
    expect(await read("web")).toBe("saved\nsaved\n");
  });

  it("deletes a VM whose start is under way, and tells who started it", async () => {
    const created = takeInventory(home.path);
    const make = ["vm", "run", "-d", "--name", "brief", "--memory", "512M"];
    const start = await until("boot", make);
    expect(await home.ok(["vm", "delete", "brief"])).toBe("brief\n");
    const { status, stdout, stderr } = await start.ended;
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("delete");
    expect((await home.run(["vm", "show", "brief"])).status).toBe(1);
    expect(leaks(created, takeInventory(home.path))).toEqual([]);
  });

  it("marks in the timeline what failed", async () => {
    // No guest is that fast.
    home.configure("\n[vmm]\nready_timeout = 1\n");
    const { stderr } = await home.run(["vm", "start", "spare"]);
    expect(stderr).toContain("ERR_GUEST_NOT_READY");
    const { state, runtime } = await show("spare");
    expect(state).toBe("error");
    expect(runtime.lastStart).toContainEqual(
      expect.objectContaining({ kind: "stage", name: "boot", failed: true }),
    );
    expect(await home.ok(["vm", "show", "spare", "--timeline"])).toMatch(
      / boot {2}failed$/m,
    );
  });

  it("prunes what does not run, and asks first", async () => {
    await home.ok(["vm", "create", "--name", "idle", "--no-start"]);
    const refused = await home.run(["vm", "prune"]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("vm prune --force");
    expect(await home.ok(["vm", "prune", "-f"])).toBe("spare\nstore\nidle\n");
    expect(await home.json(["vm", "list", "-a", "--json"])).toMatchObject([
      { name: "web", state: "running" },
    ]);
    expect(await read("web")).toBe("saved\nsaved\n");
    const nothing = await home.run(["vm", "prune"]);
    expect(nothing).toMatchObject({ status: 0, stdout: "" });
  });

  it("goes with everything it had", async () => {
    await home.ok(["vm", "delete", "web"]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });
});
