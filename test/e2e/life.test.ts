import { Resolver } from "node:dns/promises";
import { statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leaks, takeInventory, type HostInventory } from "../host-inventory.js";
import { isEgressLive, startOutside } from "../outside.js";
import { vmmPids } from "../own-processes.js";
import { eventually, Home } from "./harness.js";

interface Shown {
  readonly id: string;
  readonly state: string;
  readonly spec: { readonly diskSizeBytes: number; readonly nat: boolean };
  readonly runtime: { readonly directory: string; readonly guestIp: string };
}

describe("the life of a VM", () => {
  const dnsPort = 15371;
  const name = "life";
  let home: Home;
  let before: HostInventory;
  beforeAll(async () => {
    home = new Home(Home.dnsConfig(dnsPort));
    before = takeInventory(home.path);
    await home.ok([
      "vm",
      "create",
      "--name",
      name,
      "--no-start",
      "--disk-size",
      "64M",
    ]);
  });
  afterAll(() => home.remove());

  const show = async (): Promise<Shown> =>
    (await home.json(["vm", "show", name, "--json"])) as Shown;
  const guest = (...argv: string[]): Promise<string> =>
    home.ok(["vm", "exec", name, "--", ...argv]);
  const lookUp = async (): Promise<string[]> => {
    const resolver = new Resolver({ timeout: 2000, tries: 2 });
    resolver.setServers([`127.0.0.1:${String(dnsPort)}`]);
    return resolver.resolve4(`${name}.vm`);
  };

  it("begins as a record that nothing runs for", async () => {
    expect((await show()).state).toBe("created");
    expect(await home.ok(["vm", "list"])).not.toContain(name);
    expect(await home.ok(["vm", "list", "-a"])).toContain(name);
    const refused = await home.run(["vm", "exec", name, "--", "true"]);
    expect(refused.stderr).toContain("ERR_VM_STATE");
  });

  it("starts, has its name, and is found by DNS", async () => {
    await home.ok(["vm", "start", name]);
    expect(await guest("hostname")).toBe(`${name}\n`);
    const vm = await show();
    expect(vm.state).toBe("running");
    expect(await lookUp()).toEqual([vm.runtime.guestIp]);
    expect(statSync(join(home.path, "run/bangerd.sock")).mode & 0o777).toBe(
      0o600,
    );
  });

  it("keeps what was written just before it was stopped", async () => {
    const boot = await guest("cat", "/proc/sys/kernel/random/boot_id");
    await guest("sh", "-c", "echo kept > /root/file; echo kept > /etc/file");
    await guest("sh", "-c", "touch /tmp/file /tmp/.hidden");
    await home.ok(["vm", "stop", name]);
    expect((await show()).state).toBe("stopped");
    await expect(lookUp()).rejects.toMatchObject({ code: "ENOTFOUND" });
    await home.ok(["vm", "start", name]);
    expect(await guest("cat", "/root/file", "/etc/file")).toBe("kept\nkept\n");
    expect(await guest("find", "/tmp", "-name", "*file")).toBe("");
    expect(await guest("find", "/tmp", "-name", ".hidden")).toBe("");
    expect(await guest("cat", "/proc/sys/kernel/random/boot_id")).not.toBe(
      boot,
    );
  });

  it("runs on while the daemon is away, and is adopted by the next one", async () => {
    const boot = await guest("cat", "/proc/sys/kernel/random/boot_id");
    await home.ok(["daemon", "stop"]);
    await expect(lookUp()).rejects.toThrow();
    expect((await show()).state).toBe("running");
    expect(await lookUp()).toEqual([(await show()).runtime.guestIp]);
    expect(await guest("cat", "/proc/sys/kernel/random/boot_id")).toBe(boot);
  });

  it("takes a changed configuration with the next command", async () => {
    home.configure('\n[vm_defaults]\nmemory = "640M"\n');
    const { settings } = (await home.json(["config", "show", "--json"])) as {
      settings: { key: string; value: unknown; source: string }[];
    };
    expect(
      settings.find(({ key }) => key === "vm_defaults.memory"),
    ).toMatchObject({ value: "640M", source: "file" });
    expect((await show()).state).toBe("running");
  });

  it("grows the disk at /root while stopped, and only then", async () => {
    const running = await home.run(["vm", "set", name, "--disk-size", "256M"]);
    expect(running.status).toBe(1);
    expect(running.stderr).toContain("ERR_VM_STATE");
    await home.ok(["vm", "stop", name]);
    await home.ok(["vm", "set", name, "--disk-size", "256M"]);
    await home.ok(["vm", "start", name]);
    const kib = Number(
      await guest("sh", "-c", "df --output=size /root | tail -1"),
    );
    expect(kib).toBeGreaterThan(200 * 1024);
    expect(await guest("cat", "/root/file")).toBe("kept\n");
    const shrink = await home.run(["vm", "set", name, "--disk-size", "64M"]);
    expect(shrink.status).not.toBe(0);
    expect((await show()).spec.diskSizeBytes).toBe(256 * 2 ** 20);
  });

  it("switches NAT while it runs where the network can, and else refuses with the reason", async () => {
    if (!isEgressLive) {
      const refused = await home.run(["vm", "set", name, "--nat"]);
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain("ERR_NAT_LIVE");
      expect((await show()).spec.nat).toBe(false);
      return;
    }
    const outside = await startOutside("hello from outside\n");
    try {
      const curl = ["curl", "-sS", "-m", "5", outside.url];
      const fetch = ["vm", "exec", name, "--", ...curl];
      const isClosed = async (): Promise<void> => {
        const fetched = await home.run(fetch);
        expect(fetched.stdout).toBe("");
        expect(fetched.status).not.toBe(0);
      };
      await isClosed();
      await home.ok(["vm", "set", name, "--nat"]);
      expect((await show()).spec.nat).toBe(true);
      expect(await home.ok(fetch)).toBe("hello from outside\n");
      await home.ok(["vm", "set", name, "--no-nat"]);
      expect((await show()).spec.nat).toBe(false);
      await isClosed();
    } finally {
      await outside.stop();
    }
  });

  it("shows the guest's console", async () => {
    expect(await home.ok(["vm", "logs", name])).toMatch(/\S/);
  });

  it("notices that the guest powered itself off", async () => {
    await home.run([
      "vm",
      "exec",
      name,
      "--",
      "systemctl",
      "poweroff",
      "--force",
    ]);
    await eventually(
      "state stopped",
      async () => (await show()).state === "stopped",
    );
    expect(
      leaks(before, takeInventory(home.path)).filter(
        (entry) => !/^(VM directory|row)/.test(entry),
      ),
    ).toEqual([]);
  });

  it("is cleaned up after its VMM was killed", async () => {
    await home.ok(["vm", "start", name]);
    const [pid = 0, ...more] = vmmPids(home.path);
    expect(more).toEqual([]);
    process.kill(pid, "SIGKILL");
    await eventually(
      "state stopped",
      async () => (await show()).state === "stopped",
    );
    await home.ok(["vm", "start", name]);
    expect(await guest("cat", "/root/file")).toBe("kept\n");
  });

  it("goes with everything it had", async () => {
    await home.ok(["vm", "delete", name]);
    expect(leaks(before, takeInventory(home.path))).toEqual([]);
    expect((await home.run(["vm", "show", name])).status).toBe(1);
  });
});
