import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderUnits, unitNames } from "../../src/system/units.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const settings = { owner: "ann", legacyIptables: false, jailer: false };
const units = renderUnits(settings);
const unitOf = (name: (typeof unitNames)[number]): string => units[name] ?? "";
const valuesOf = (text: string, key: string): readonly string[] =>
  text
    .split("\n")
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));

const helper = unitOf("banger-root.service");
const daemon = unitOf("bangerd.service");

/** Most that systemd's own rating of a unit may be, of 10. */
const mostExposure = { "banger-root.service": 3, "bangerd.service": 3 };

const hasAnalyze = spawnSync("systemd-analyze", ["--version"]).status === 0;

describe("the units", () => {
  it("run the daemon as its owner, without any right of root's", () => {
    expect(valuesOf(daemon, "User")).toEqual(["ann"]);
    expect(valuesOf(daemon, "CapabilityBoundingSet")).toEqual([""]);
    expect(valuesOf(daemon, "NoNewPrivileges")).toEqual(["yes"]);
  });

  it("give the helper the rights that its requests need, and no network", () => {
    expect(valuesOf(helper, "CapabilityBoundingSet")).toEqual([
      "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_ADMIN CAP_SETGID CAP_SETUID CAP_SYS_ADMIN",
    ]);
    expect(valuesOf(helper, "ProtectControlGroups")).toEqual(["yes"]);
    expect(valuesOf(helper, "RestrictNamespaces")).toEqual(["yes"]);
    expect(valuesOf(helper, "RestrictAddressFamilies")).toEqual([
      "AF_UNIX AF_NETLINK",
    ]);
    expect(valuesOf(helper, "IPAddressDeny")).toEqual(["any"]);
  });

  it("give the helper the jailer's rights only where there is a jailer", () => {
    const jailing =
      renderUnits({ ...settings, jailer: true })["banger-root.service"] ?? "";
    expect(valuesOf(jailing, "CapabilityBoundingSet")).toEqual([
      "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_NET_ADMIN CAP_SETGID CAP_SETUID CAP_SYS_ADMIN CAP_KILL CAP_MKNOD CAP_SYS_PTRACE",
    ]);
    expect(valuesOf(jailing, "RestrictNamespaces")).toEqual(["mnt"]);
    expect(valuesOf(jailing, "SystemCallFilter")[0]).toContain("@mount");
    expect(valuesOf(helper, "SystemCallFilter")[0]).not.toContain("@mount");
    expect(helper).not.toContain("/dev/char/10:232");
  });

  it("let only an old iptables have raw sockets", () => {
    const legacy =
      renderUnits({ ...settings, legacyIptables: true })[
        "banger-root.service"
      ] ?? "";
    expect(valuesOf(legacy, "CapabilityBoundingSet")[0]).toContain(
      "CAP_NET_RAW",
    );
    expect(valuesOf(legacy, "RestrictAddressFamilies")[0]).toContain("AF_INET");
    expect(legacy).toContain("/run/xtables.lock");
    expect(helper).not.toContain("/run/xtables.lock");
  });

  it.each(unitNames)("let VMs outlive %s", (name) => {
    const unit = unitOf(name);
    expect(valuesOf(unit, "KillMode")).toEqual(["process"]);
    expect(valuesOf(unit, "OOMPolicy")).toEqual(["continue"]);
    expect(valuesOf(unit, "RuntimeDirectoryPreserve")).toEqual(["yes"]);
  });

  it.runIf(hasAnalyze)("are units to systemd", async () => {
    // What the units run is looked for, so it has to be there, below a root of its own.
    const root = await temporaryDirectory();
    for (const program of [
      "bin/sh",
      "bin/rm",
      "usr/local/lib/banger/current/bin/node",
    ]) {
      mkdirSync(join(root, program, ".."), { recursive: true });
      writeFileSync(join(root, program), "", { mode: 0o755 });
    }
    const directory = join(root, "etc/systemd/system");
    mkdirSync(directory, { recursive: true });
    mkdirSync(join(root, "usr/lib/systemd/system"), { recursive: true });
    const empty = "[Unit]\nDescription=stand-in\n";
    const oneshot = "[Service]\nType=oneshot\nExecStart=/bin/sh\n";
    for (const [name, text] of Object.entries({
      ...units,
      "modprobe@.service": oneshot,
      ...Object.fromEntries(
        ["basic", "sysinit", "shutdown", "network", "multi-user"].map(
          (each) => [`${each}.target`, empty],
        ),
      ),
    }))
      writeFileSync(join(directory, name), text);
    const { status, stderr } = spawnSync(
      "systemd-analyze",
      ["verify", `--root=${root}`, "--man=no", ...unitNames],
      { encoding: "utf8" },
    );
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  it.runIf(hasAnalyze).each(unitNames)("expose little: %s", async (name) => {
    const directory = await temporaryDirectory();
    const file = join(directory, name);
    writeFileSync(file, unitOf(name));
    const rating = execFileSync(
      "systemd-analyze",
      ["security", "--offline=true", "--no-pager", file],
      { encoding: "utf8" },
    );
    const exposure = Number(/level for \S+: ([\d.]+)/.exec(rating)?.[1]);
    console.log(`systemd rates the exposure of ${name} ${String(exposure)}`);
    expect(exposure).toBeLessThanOrEqual(mostExposure[name]);
  });
});
