import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "../e2e/harness.js";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { eventually } from "../install.js";
import { vmmPids } from "../own-processes.js";

interface Shown {
  readonly state: string;
  readonly runtime: { readonly jailDirectory?: string };
}

describe("a VM in a jail", () => {
  const name = "jailed";
  let home: Home;
  let before: HostInventory;
  beforeAll(async () => {
    home = new Home(
      `${Home.dnsConfig(15_378)}\n[vmm]\njailer_enabled = true\n`,
    );
    before = takeInventory(home.path);
    const size = ["--memory", "512M", "--disk-size", "64M"];
    await home.ok(["vm", "run", "-d", "--name", name, ...size]);
  });
  afterAll(() => home.remove());

  const show = async (): Promise<Shown> =>
    (await home.json(["vm", "show", name, "--json"])) as Shown;
  const guest = (...argv: string[]): Promise<string> =>
    home.ok(["vm", "exec", name, "--", ...argv]);
  const jail = async (): Promise<string> =>
    (await show()).runtime.jailDirectory ?? "";
  const jails = (): readonly string[] => {
    const directory = join(home.path, "state/jail/firecracker");
    return existsSync(directory) ? readdirSync(directory) : [];
  };
  const bootId = (): Promise<string> =>
    guest("cat", "/proc/sys/kernel/random/boot_id");

  it("runs, answers by agent and by SSH, and writes to its disks", async () => {
    expect(await jail()).toContain(join(home.path, "state/jail/"));
    expect(existsSync(join(await jail(), "root"))).toBe(true);
    expect(jails()).toHaveLength(1);
    expect(vmmPids(home.path)).toHaveLength(1);
    expect(await home.ok(["vm", "ping", name])).toContain("ms");
    await guest("sh", "-c", "echo kept > /root/file; echo kept > /etc/file");
    expect(await home.ok(["vm", "stats", name])).toContain(name);
    expect(await home.ok(["vm", "logs", name])).toMatch(/\S/);
  });

  it("has no jail while it is stopped, and its data in the next one", async () => {
    await home.ok(["vm", "stop", name]);
    expect((await show()).state).toBe("stopped");
    expect(jails()).toEqual([]);
    expect(vmmPids(home.path)).toEqual([]);
    await home.ok(["vm", "start", name]);
    expect(jails()).toHaveLength(1);
    expect(await guest("cat", "/root/file", "/etc/file")).toBe("kept\nkept\n");
  });

  it("is adopted by the daemon after one that was killed", async () => {
    const [boot, pids] = [await bootId(), vmmPids(home.path)];
    process.kill(await home.daemonPid(), "SIGKILL");
    await eventually("an adopted VM", async () => {
      return (await show()).state === "running";
    });
    expect(vmmPids(home.path)).toEqual(pids);
    expect(await bootId()).toBe(boot);
    expect(await home.ok(["vm", "ping", name])).toContain("ms");
  });

  it("is cleaned up after its VMM was killed", async () => {
    const [pid = 0] = vmmPids(home.path);
    process.kill(pid, "SIGKILL");
    await eventually("state stopped", async () => {
      return (await show()).state === "stopped";
    });
    expect(jails()).toEqual([]);
    await home.ok(["vm", "start", name]);
    expect(await guest("cat", "/root/file")).toBe("kept\n");
  });

  it("leaves nothing", async () => {
    await home.ok(["vm", "delete", name]);
    expect(jails()).toEqual([]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
  });
});
