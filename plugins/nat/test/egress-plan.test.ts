import { describe, expect, it } from "vitest";
import { machineDefaults, type VmRecord } from "@banger/core";
import { FakeNetwork, fakePluginServices, fakeVm } from "@banger/core/testing";
import { PrivilegeMissingError } from "@banger/core";
import { AllowList } from "../src/allow-list.js";
import { natChecks } from "../src/doctor.js";
import {
  EgressModes,
  knownModes,
  type EgressMode,
} from "../src/egress-mode.js";
import { changeEgress, natFindings, withEgress } from "../src/egress-plan.js";
import { defaultRoute, findUplink } from "../src/uplink.js";

const signal = new AbortController().signal;
const services = fakePluginServices();
const { commands, privileged } = services;
const modes = new EgressModes({ ...services, config: {} });
const user = modes.find("user");
const off = fakeVm({ spec: { nat: false } });
const on = fakeVm({ spec: { nat: true } });

const machineOf = (vm: VmRecord) =>
  machineDefaults({
    vm,
    rootDrive: { path: "/root.qcow2", format: "qcow2", readOnly: false },
    nic: new FakeNetwork().nic(vm),
    agent: { socketPath: "/agent.sock" },
  });

describe("withEgress", () => {
  it("opens the first interface for a VM with NAT only", () => {
    const machine = machineOf(on);
    expect(withEgress(machine, on).egress).toEqual({ net0: "open" });
    expect(machine.egress).toEqual({});
    expect(withEgress(machine, off)).toBe(machine);
  });
});

describe("preflight", () => {
  it("has nothing to say about a VM without NAT", () => {
    expect(natFindings(off, undefined, undefined)).toEqual([]);
  });
  it("refuses a network mode that it does not know", () => {
    expect(modes.find("tunnel")).toBeUndefined();
    const vm = fakeVm({
      spec: { nat: true },
      runtime: { networkMode: "tunnel" },
    });
    expect(natFindings(vm, undefined, "eth0")).toMatchObject([
      {
        id: "nat.mode",
        severity: "error",
        message: expect.stringContaining("tunnel") as string,
      },
    ]);
  });
  it("knows what it says that it knows", () => {
    for (const mode of knownModes) expect(modes.find(mode)?.mode).toBe(mode);
  });
  it("says what guests on a bridge need, with and without NAT", async () => {
    const asRoot = modes.find("bridge");
    expect(await asRoot?.findings?.()).toMatchObject([
      {
        id: "nat.firewall",
        severity: "error",
        message: expect.stringContaining("nft, ip, sysctl") as string,
      },
    ]);
    for (const program of ["nft", "ip", "sysctl"]) commands.install(program);
    expect(await asRoot?.findings?.()).toEqual([]);
    privileged.missing = new PrivilegeMissingError("it needs root", {
      hint: "Become root",
    });
    expect(await asRoot?.findings?.()).toMatchObject([
      {
        message: expect.stringContaining("it needs root") as string,
        fix: "Become root",
      },
    ]);
    privileged.missing = undefined;
  });
  it("refuses a list that the mode cannot keep guests to", () => {
    const list = new AllowList(["192.0.2.7"]);
    expect(natFindings(on, user, "eth0", list)).toMatchObject([
      { id: "nat.allow", severity: "error" },
    ]);
    expect(natFindings(off, user, "eth0", list)).toEqual([]);
    expect(natFindings(on, modes.find("bridge"), "eth0", list)).toEqual([]);
    const [, , policy] = natChecks({ mode: "user" }, user, "eth0", list);
    expect(policy).toMatchObject({ id: "nat.allow", status: "warn" });
  });
  it("warns without a default route", () => {
    expect(natFindings(on, user, undefined)).toMatchObject([
      { id: "nat.uplink", severity: "warning" },
    ]);
    expect(natFindings(on, user, "eth0")).toEqual([]);
  });
});

describe("a change of NAT", () => {
  const switched: string[] = [];
  const switchable: EgressMode = {
    mode: "sample",
    summary: "sample",
    fixedBecause: "sample",
    enforcesAllow: true,
    findUplink: async () => "eth0",
    apply: async (vm) => void switched.push(vm.name),
  };
  const change = (
    live: boolean,
    liveEgress: boolean,
    egress = user,
    [before, after] = [off, on],
    takingBack = false,
  ) =>
    changeEgress(
      { before, after, live, takingBack },
      new FakeNetwork({ liveEgress }),
      egress,
      signal,
    );

  it("is agreed to while the guest does not run, and when it is none", async () => {
    await change(false, false);
    await change(true, false, user, [on, on]);
  });

  it.each([
    ["open", [off, on], "--nat"],
    ["close", [on, off], "--no-nat"],
  ] as const)(
    "to %s it is refused while the guest runs in user networking",
    async (_what, vms, flag) => {
      await expect(change(true, false, user, [...vms])).rejects.toMatchObject({
        code: "ERR_NAT_LIVE",
        kind: "conflict",
        message: expect.stringContaining(
          "QEMU's user networking fixes it at launch",
        ) as string,
        hint: `Stop it first: banger vm stop calm-otter && banger vm set calm-otter ${flag} && banger vm start calm-otter`,
      });
    },
  );

  it("is not refused when it is taken back: what cannot be switched was not", async () => {
    switched.length = 0;
    await change(true, false, user, [on, off], true);
    expect(switched).toEqual([]);
    await change(true, true, switchable, [on, off], true);
    expect(switched).toEqual(["calm-otter"]);
    switched.length = 0;
  });

  it("needs both a network that allows it and a mode that can", async () => {
    await expect(change(true, true, user)).rejects.toMatchObject({
      code: "ERR_NAT_LIVE",
    });
    await expect(change(true, false, switchable)).rejects.toMatchObject({
      code: "ERR_NAT_LIVE",
    });
    expect(switched).toEqual([]);
    await change(true, true, switchable);
    expect(switched).toEqual(["calm-otter"]);
  });

  it("is refused in a mode that the plugin does not know", async () => {
    await expect(
      changeEgress(
        {
          before: off,
          after: { ...on, runtime: { ...on.runtime, networkMode: "tunnel" } },
          live: true,
          takingBack: false,
        },
        new FakeNetwork({ liveEgress: true }),
        undefined,
        signal,
      ),
    ).rejects.toMatchObject({
      code: "ERR_NAT_LIVE",
      message: expect.stringContaining("tunnel") as string,
    });
  });
});

describe("the uplink", () => {
  const head =
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
  const line = (
    device: string,
    destination: string,
    flags: string,
    metric: number,
    mask: string,
  ) =>
    `${device}\t${destination}\t0102A8C0\t${flags}\t0\t0\t${String(metric)}\t${mask}\t0\t0\t0\n`;

  it("is the usable default route with the lowest metric", () => {
    expect(
      defaultRoute(
        head +
          line("eth1", "0000A8C0", "0001", 0, "00FFFFFF") +
          line("wlan0", "00000000", "0003", 600, "00000000") +
          line("down0", "00000000", "0002", 1, "00000000") +
          line("eth0", "00000000", "0003", 100, "00000000"),
      ),
    ).toBe("eth0");
  });
  it.each([
    ["", ""],
    ["only the head", head],
    ["no default", head + line("eth1", "0000A8C0", "0001", 0, "00FFFFFF")],
    [
      "half a default (0.0.0.0/1)",
      head + line("tun0", "00000000", "0003", 0, "00000080"),
    ],
    ["noise", `${head}x\n\0\n`],
  ])("is none with %s", (_what, table) => {
    expect(defaultRoute(table)).toBeUndefined();
  });
  it("is none where the kernel shows no routes", async () => {
    expect(await findUplink("/proc/net/no-such-file")).toBeUndefined();
  });
});

it("doctor says what NAT means here", () => {
  const [mode, uplink] = natChecks({ mode: "user" }, user, "eth0");
  expect(mode).toMatchObject({
    id: "nat.mode",
    status: "pass",
    detail: expect.stringContaining("user: QEMU") as string,
  });
  expect(uplink).toMatchObject({
    id: "nat.uplink",
    status: "pass",
    detail: expect.stringContaining("eth0") as string,
  });
  expect(
    natChecks({ mode: "bridge" }, undefined, undefined).map(
      ({ status }) => status,
    ),
  ).toEqual(["fail", "warn", "pass"]);
});
