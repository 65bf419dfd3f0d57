import { mkdtempSync, rmSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { provideFirecracker } from "../firecracker/provide-firecracker.js";
import { eventually } from "../install.js";
import { GuestHost, programDirectory, tester } from "./guest-host.js";
import { HelperClient } from "./helper-client.js";
import { takeTraces, type HostTraces } from "./host-traces.js";

const guest = new GuestHost(inject("guestHostHome"));
const helper = new HelperClient(guest, tester);

const units = ["banger-root.service", "bangerd.service"] as const;
/** The helper launches the jailer, whose rights are a part of its rating: docs/privileges.md. */
const mostExposure = [3.5, 3] as const;
const banger = `node ${programDirectory}/cli/dist/banger-start.cjs`;
const state = "/var/lib/banger/state";
const bridge = "br-fc";
const vm = { id: "5eed0f00d001", guestIp: "172.16.0.77" };
const tapDevice = `tap-fc-${vm.id.slice(0, 8)}`;
const image = "debian-000000000000";
const network = {
  ...{ bridge, isolate: false, tapDevice, jailed: false },
  ...{ address: "172.16.0.1/24", vm },
};

/** Emulation is many times slower than any host that systemd's limits are meant for. */
const patience = `
  for unit in ${units.join(" ")}; do
    mkdir -p /run/systemd/system/$unit.d
    printf '[Service]\\nTimeoutStartSec=600\\n' >/run/systemd/system/$unit.d/slow.conf
  done`;

/** The stand-in's jailer changes its root as the real one does not: with chroot(2). */
const standInDropIn = `
  printf '[Service]\\nCapabilityBoundingSet=CAP_SYS_CHROOT\\n' >/run/systemd/system/banger-root.service.d/stand-in.conf
  systemctl daemon-reload`;

async function untilUp(): Promise<void> {
  await eventually(
    "helper and daemon answer",
    async () => {
      const answer = await guest.run(
        `systemctl is-active ${units[0]} && systemctl is-active ${units[1]} && banger daemon status --json`,
        { user: tester },
      );
      return answer.status === 0;
    },
    300_000,
  );
}

async function install(): Promise<void> {
  await guest.ok(`cd /; ${banger} system install --owner ${tester} --yes`);
  await untilUp();
}

async function mainPid(unit: string): Promise<string> {
  return (await guest.ok(`systemctl show -P MainPID ${unit}`)).trim();
}

async function properties(
  unit: string,
  ...names: readonly string[]
): Promise<Readonly<Record<string, string>>> {
  const options = names.map((name) => `--property=${name}`).join(" ");
  const shown = await guest.lines(`systemctl show ${options} ${unit}`);
  return Object.fromEntries(
    shown.map((line) => line.split(/=(.*)/s) as unknown as [string, string]),
  );
}

/** From 0, which nothing is exposed to, to 10. */
async function exposure(unit: string): Promise<number> {
  const said = await guest.ok(
    `systemd-analyze security --no-pager ${unit} | tail -n 1`,
  );
  const level = /level for \S+: ([0-9.]+)/.exec(said)?.[1];
  console.log(said.trim());
  return Number(level);
}

describe("a system install under systemd", () => {
  let before: HostTraces;

  beforeAll(async () => {
    await HelperClient.send(guest);
    const directory = mkdtempSync(join(tmpdir(), "banger-stand-in-"));
    try {
      await provideFirecracker(directory, { guest: "none" });
      const archive = ["--create", "--owner=0", "--group=0", "--mode=go-w"];
      await guest.ok("mkdir -p /opt/vmm; tar --extract --directory /opt/vmm", {
        input: execFileSync("tar", [...archive, "-C", directory, "."], {
          maxBuffer: 2 ** 28,
        }),
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
    await guest.ok(`
      ln -sf /opt/vmm/firecracker /opt/vmm/jailer /usr/local/bin
      ${patience}
      systemctl daemon-reload
      modprobe -a loop dm_snapshot tun bridge
      losetup --find >/dev/null
      # With its first policy iptables makes tables, which stay; and who has them may count on forwarding.
      sysctl -q -w net.ipv4.ip_forward=1
      iptables -P FORWARD ACCEPT; iptables -t nat -P PREROUTING ACCEPT`);
    before = await takeTraces(guest);
  });

  afterAll(async () => {
    await guest.ok(`
      cd /; ${banger} system uninstall --purge --yes || true
      rm -rf /run/systemd/system/banger*.service.d /usr/local/bin/firecracker /usr/local/bin/jailer
      systemctl daemon-reload`);
  });

  it("runs the daemon as its owner and the helper as root, both confined", async () => {
    await install();
    const users = await guest.ok(
      `stat -c '%U:%G %a %n' /run/banger /run/banger-root /run/banger-root/helper.sock /var/lib/banger ${state} /etc/banger/install.json`,
    );
    expect(users.trim().split("\n")).toEqual([
      "tester:tester 700 /run/banger",
      "root:root 711 /run/banger-root",
      "tester:tester 600 /run/banger-root/helper.sock",
      "root:root 755 /var/lib/banger",
      `tester:tester 700 ${state}`,
      "root:root 644 /etc/banger/install.json",
    ]);
    const names = ["User", "ProtectSystem", "NoNewPrivileges", "KillMode"];
    expect(await properties(units[0], ...names)).toMatchObject({
      User: "",
      ...{ ProtectSystem: "strict", NoNewPrivileges: "yes" },
      KillMode: "process",
    });
    expect(await properties(units[1], ...names)).toMatchObject({
      ...{ User: tester, ProtectSystem: "strict", KillMode: "process" },
    });
    const { CapEff: effective, CapBnd: bounding } = Object.fromEntries(
      (await guest.lines(`cat /proc/${await mainPid(units[1])}/status`)).map(
        (line) => line.split(/:\s+/) as [string, string],
      ),
    );
    expect(effective).toBe("0000000000000000");
    expect(bounding).toMatch(/^0{8}/);
    for (const [index, unit] of units.entries())
      expect(await exposure(unit)).toBeLessThanOrEqual(
        mostExposure[index] ?? 0,
      );
  });

  it("answers its owner and root, and nobody else", async () => {
    const build = { build: expect.any(String) as string };
    expect(await helper.request("helper.ping", {})).toMatchObject(build);
    expect(
      await new HelperClient(guest, undefined).request("helper.ping", {}),
    ).toMatchObject(build);
    const other = await guest.run(
      "setpriv --reuid nobody --clear-groups python3 /opt/helper-client.py helper.ping '{}'",
    );
    expect(other.stderr).toContain("PermissionError");
    const checks = JSON.parse(
      (await guest.run("banger doctor --json", { user: tester })).stdout,
    ) as readonly { readonly checks: readonly { readonly id: string }[] }[];
    const found = checks.flatMap((section) => section.checks);
    expect(found.filter(({ id }) => /privilege/.test(id))).toMatchObject([
      { status: "pass" },
    ]);
  });

  it("gives the owner's user namespaces the subordinate ids, in the helper's sandbox", async () => {
    const maps = await guest.lines(
      `unshare --user sleep 600 >/dev/null 2>&1 & pid=$!
      trap "kill $pid" EXIT
      until [ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.1; done
      python3 /opt/helper-client.py image.map-ids "{\\"pid\\": $pid}"
      cat /proc/$pid/uid_map /proc/$pid/gid_map`,
      { user: tester },
    );
    const [answer, ...lines] = maps.map((line) => line.trim());
    expect(JSON.parse(answer ?? "")).toEqual({ ok: true, output: {} });
    const map = ["0 1000 1", "1 100000 65536"];
    expect(lines.map((line) => line.replaceAll(/ +/g, " "))).toEqual([
      ...map,
      ...map,
    ]);
  });

  it("makes bridge, TAP device, NAT and routes of names in the helper's sandbox, and removes them", async () => {
    const links = (): Promise<readonly string[]> =>
      guest.lines(
        `ip -brief link | awk '{ print $1 }' | sort | grep -v '^\\(lo\\|eth0\\|tap-pool-[0-9]\\)$' || true`,
      );
    expect(await helper.request("network.prepare", network)).toEqual({});
    expect(await links()).toEqual([bridge, tapDevice]);
    const rules = await guest.ok("nft list ruleset");
    expect(rules).toContain(`table inet banger-${bridge}`);
    expect(rules).toContain(`table netdev banger-${tapDevice}`);
    expect(
      await guest.lines(
        `sysctl -n net.ipv6.conf.${bridge}.disable_ipv6; cat /sys/class/net/${tapDevice}/owner`,
      ),
    ).toEqual(["1", "1000"]);
    // Beside those of the daemon's own pool.
    const pool = { devices: ["tap-pool-900", "tap-pool-901"] };
    expect(await helper.request("network.fill-pool", pool)).toEqual(pool);
    expect(await helper.request("network.drain-pool", pool)).toEqual({});

    const nat = { id: vm.id, guestIp: vm.guestIp, tapDevice, open: true };
    for (const backend of ["nftables", "iptables"]) {
      // A policy of somebody's own makes iptables what this host uses.
      if (backend === "iptables") await guest.ok("iptables -P FORWARD DROP");
      expect(await helper.request("nat.ensure", nat)).toEqual({
        uplink: "eth0",
      });
      expect(await helper.request("nat.status", {})).toMatchObject({
        ...{ backend, isForwarding: true, vms: [{ id: vm.id }] },
      });
      expect(await helper.request("nat.refusals", { id: vm.id })).toEqual({
        refusals: [],
      });
      expect(
        await guest.ok("iptables-save -t nat; nft list ruleset"),
      ).toContain(vm.guestIp);
      await helper.request("nat.remove", { id: vm.id });
      expect(await helper.request("nat.status", {})).toMatchObject({ vms: [] });
    }
    await guest.ok("iptables -P FORWARD ACCEPT");

    const route = { bridge, gateway: "172.16.0.1", port: 15_853 };
    expect(await helper.request("dns.route", route)).toEqual({
      resolver: "routed",
    });
    expect(await guest.ok(`resolvectl domain ${bridge}`)).toContain("~vm");
    expect(await helper.request("dns.show-route", route)).toEqual({
      redirected: true,
    });
    expect(await helper.request("dns.unroute", { bridge })).toBeNull();
    expect(await guest.ok(`resolvectl domain ${bridge}`)).not.toContain("~vm");

    const removal = { bridge, isolate: false, vmId: vm.id, tapDevice };
    expect(
      await helper.request("network.remove", {
        ...{ ...removal, jailed: false, recycle: false },
      }),
    ).toEqual({ isIdle: false });
    expect(await links()).toEqual([bridge]);
  });

  it("makes a snapshot and a jail with a VMM, which outlive a helper that is killed", async () => {
    await guest.ok(
      `umask 077; mkdir -p ${state}/images/${image} ${state}/vms/${vm.id}
      cd ${state}/images/${image}; truncate -s 8M rootfs.ext4; echo kernel >vmlinuz
      cd ${state}/vms/${vm.id}; truncate -s 9M root.cow
      touch boot.initrd firecracker.log firecracker.metrics console.log vmm.log`,
      { user: tester },
    );
    await guest.ok(`${standInDropIn}; systemctl restart ${units[0]}`);
    await untilUp();
    expect(await helper.request("disk.check-snapshots", {})).toEqual({});
    const attach = async (part: string): Promise<string> => {
      const { device } = (await helper.request("disk.find-free-loop", {})) as {
        device: string;
      };
      const input = { vm: vm.id, image, part, device };
      expect(await helper.request("disk.attach-loop", input)).toEqual({
        attached: true,
      });
      return device;
    };
    const baseLoop = await attach("base");
    const cowLoop = await attach("overlay");
    const over = { vm: vm.id, image, baseLoop, cowLoop };
    expect(await helper.request("disk.create-snapshot", over)).toEqual({});

    const drives = { root: { kind: "snapshot", readOnly: false } };
    const jail = { vm: vm.id, image, kernel: "image", drives };
    expect(await helper.request("jail.make", jail)).toEqual({});
    const process = (await helper.request("jail.launch", {
      ...{ vm: vm.id, vcpus: 1, memoryMiB: 128 },
    })) as { readonly pid: number; readonly pidStartTicks: number };
    expect(process).toMatchObject({ pid: expect.any(Number) as number });
    const socket = `/var/lib/banger/jail/firecracker/${vm.id}/root/run/${vm.id}.api`;
    await eventually(
      "the VMM listens",
      async () => (await guest.run(`test -S ${socket}`)).status === 0,
      300_000,
    );
    expect(await helper.request("jail.lock", { vm: vm.id })).toEqual({});
    expect((await guest.ok(`stat -c %U ${socket}`)).trim()).toBe(tester);
    const uid = (await guest.ok(`stat -c %u /proc/${process.pid}`)).trim();
    expect(uid).toBe("1000");

    const killed = await mainPid(units[0]);
    await guest.ok(`kill -9 ${killed}`);
    await eventually(
      "systemd starts another helper",
      async () => !["0", killed].includes(await mainPid(units[0])),
    );
    await untilUp();
    expect(await helper.request("jail.find", { vm: vm.id, process })).toEqual({
      process,
    });
    const sent = { vm: vm.id, process, signal: "TERM" };
    expect(await helper.request("jail.signal", sent)).toEqual({});
    for (const [name, input] of [
      ["jail.end", { vm: vm.id, process }],
      ["jail.remove", { vm: vm.id }],
      ["disk.remove-snapshot", { vm: vm.id }],
      [
        "disk.detach-loop",
        { vm: vm.id, image, part: "base", device: baseLoop },
      ],
      [
        "disk.detach-loop",
        { vm: vm.id, image, part: "overlay", device: cowLoop },
      ],
    ] as const)
      expect([name, await helper.request(name, input)]).toEqual([name, {}]);
    expect(
      (
        await guest.run(
          `dmsetup ls | grep fc-rootfs; losetup --list --noheadings; ls /var/lib/banger/jail/firecracker; ps -p ${process.pid} -o pid=`,
        )
      ).stdout.replace("No devices found\n", ""),
    ).toBe("");
  });

  it("is restarted and brought up to date, and leaves everything as it was", async () => {
    const pids = await Promise.all(units.map(mainPid));
    await install();
    const program = await guest.ok("ls -d /usr/local/lib/banger/program-*");
    expect(program.trim().split("\n")).toHaveLength(1);
    for (const [index, unit] of units.entries())
      expect(await mainPid(unit)).not.toBe(pids[index]);
    await guest.ok("cd /; banger system uninstall --yes");
    expect(await guest.lines("ls /var/lib/banger /etc/systemd/system")).toEqual(
      expect.not.arrayContaining(["jail", ...units]),
    );
    expect(await guest.ok(`ls -A ${state}`)).toContain("state.db");
    await guest.ok(`cd /; ${banger} system uninstall --purge --yes`);
    expect(await takeTraces(guest)).toEqual(before);
  });
});
