import type { Check, ImageStore, ReconcileReport, VmFiles } from "@banger/core";
import {
  FakeCommandRunner,
  fakeHostFacts,
  fakeImage,
  fakeVm,
  fakeVmId,
  FakeVmStore,
} from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import {
  hostChecks,
  type HostCheckDeps,
} from "../../src/doctor/host-checks.js";
import { UserNetwork } from "../../src/network/user-network.js";
import { NoPrivileged } from "../../src/privileged/no-privileged.js";
import { HostRequirements } from "../../src/setup/requirements.js";
import type { VmmOutlook } from "../../src/vmm/vmm-drivers.js";

const programs =
  "qemu-system-x86_64 qemu-img mmdebstrap mke2fs busybox ssh-keygen newuidmap".split(
    " ",
  );

const working: VmmOutlook = {
  id: "qemu",
  program: { path: "/usr/bin/qemu-system-x86_64" },
  version: "7.2",
  unfit: undefined,
  emulates: true,
  kvm: {
    key: "",
    works: true,
    reason: "a probe boot succeeded",
    checkedAt: "2026-01-02T00:00:00Z",
  },
};

const quietReport: ReconcileReport = {
  startedAt: "2026-01-02T03:04:05.000Z",
  durationMs: 12,
  adopted: ["web"],
  cleaned: ["db", "ci"],
  removed: [],
  problems: [],
};

function healthy(overrides: Partial<HostCheckDeps> = {}): HostCheckDeps {
  const commands = new FakeCommandRunner();
  for (const program of programs) commands.install(program);
  const hostFacts = fakeHostFacts();
  return {
    requirements: new HostRequirements({
      commands,
      hostFacts,
      networkMode: "user",
    }),
    vmm: {
      vmmDrivers: { outlook: () => Promise.resolve([working]) },
      request: { driver: "auto", accel: "auto", nic: "user" },
      obstacle: () => Promise.resolve(undefined),
    },
    rootDisk: {
      rootDiskProbe: {
        best: () => Promise.resolve({ strategy: "reflink", obstacles: [] }),
        forget: () => undefined,
      },
      directory: "/nonexistent",
    },
    network: new UserNetwork({ lowestPort: 1024 }),
    privileges: {
      privileged: new NoPrivileged(),
      install: () => Promise.resolve(undefined),
    },
    imageStore: {
      find: () => Promise.resolve(fakeImage()),
    } as unknown as ImageStore,
    vmStore: new FakeVmStore([fakeVm()]),
    vmFiles: {
      freeBytes: () => Promise.resolve(2 ** 40),
    } as unknown as VmFiles,
    hostFacts,
    defaultImage: "debian",
    reconcileReport: () => quietReport,
    idProblem: () => Promise.resolve(undefined),
    ...overrides,
  };
}

async function check(
  id: string,
  overrides: Partial<HostCheckDeps> = {},
): Promise<Check | undefined> {
  return (await hostChecks(healthy(overrides))).find((one) => one.id === id);
}

describe("hostChecks", () => {
  it("passes a healthy host, each check once", async () => {
    const checks = await hostChecks(healthy());
    expect(checks.filter(({ status }) => status !== "pass")).toEqual([]);
    expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
  });

  it("names missing programs", async () => {
    const requirements = new HostRequirements({
      commands: new FakeCommandRunner(),
      hostFacts: fakeHostFacts(),
      networkMode: "user",
    });
    const found = await check("host.programs", { requirements });
    expect(found).toMatchObject({ status: "fail", fix: "banger setup" });
    expect(found?.detail).toContain("mmdebstrap");
  });

  it("warns of a user without subordinate ids, which root does not need", async () => {
    const idProblem = () => Promise.resolve({ problem: "none", fix: "add" });
    expect(await check("host.subordinate-ids", { idProblem })).toMatchObject({
      status: "warn",
      detail: "none",
      fix: "add",
    });
    const hostFacts = fakeHostFacts({ isRoot: true });
    expect(
      await check("host.subordinate-ids", { idProblem, hostFacts }),
    ).toMatchObject({ status: "pass" });
  });

  it("warns of a missing image, little space and broken VMs, and fails another architecture", async () => {
    const imageStore = {
      find: () => Promise.resolve(undefined),
    } as unknown as ImageStore;
    const vmFiles = {
      freeBytes: () => Promise.resolve(2 ** 30),
    } as unknown as VmFiles;
    const vmStore = new FakeVmStore([fakeVm({ state: "error", name: "bad" })]);
    const hostFacts = fakeHostFacts({ architecture: "aarch64" });
    expect(await check("host.image", { imageStore })).toMatchObject({
      status: "warn",
      fix: "banger image build debian",
    });
    expect(await check("host.space", { vmFiles })).toMatchObject({
      status: "warn",
    });
    expect(await check("host.vms", { vmStore })).toMatchObject({
      status: "warn",
      detail: "in state error: bad",
    });
    expect(await check("host.architecture", { hostFacts })).toMatchObject({
      status: "fail",
    });
  });

  it("says what the daemon found when it began", async () => {
    expect(await check("host.reconcile")).toMatchObject({
      status: "pass",
      detail: "1 adopted, 2 cleaned up, 0 removed",
    });
    const looking = { reconcileReport: () => undefined };
    expect(await check("host.reconcile", looking)).toMatchObject({
      status: "pass",
    });
    const problems = [
      { vm: "web", text: "handles.json is damaged" },
      { vm: "db", text: "did not answer" },
      { vm: "gone", text: "did not answer" },
    ];
    const reconcileReport = (): ReconcileReport => ({
      ...quietReport,
      problems,
    });
    // The one named db was started since, and its problems are over.
    const vmStore = new FakeVmStore([
      fakeVm({ name: "web", runtime: { problems: ["damaged"] } }),
      fakeVm({ id: fakeVmId(2), name: "db" }),
    ]);
    const found = { reconcileReport, vmStore };
    expect(await check("host.reconcile", found)).toEqual({
      id: "host.reconcile",
      title: "VMs found running",
      status: "warn",
      detail: "web: handles.json is damaged",
      fix: "banger vm show web",
    });
    const all = (): ReconcileReport => ({
      ...quietReport,
      problems: [{ vm: "all", text: "no database" }],
    });
    expect(
      await check("host.reconcile", { reconcileReport: all }),
    ).toMatchObject({ status: "warn", detail: "all: no database" });
  });

  it("turns a check that throws into its own failure", async () => {
    const vmFiles = {
      freeBytes: () => Promise.reject(new Error("no such directory")),
    } as unknown as VmFiles;
    const checks = await hostChecks(healthy({ vmFiles }));
    expect(checks.filter(({ status }) => status === "fail")).toEqual([
      {
        id: "host.space",
        title: "free space",
        status: "fail",
        detail: "no such directory",
      },
    ]);
    expect(checks).toHaveLength(12);
  });
});
