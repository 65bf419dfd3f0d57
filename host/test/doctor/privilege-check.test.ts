import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PrivilegeMissingError, type Privileged } from "@banger/core";
import { FakeCommandRunner, FakePrivileged } from "@banger/core/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { privilegeCheck } from "../../src/doctor/privilege-check.js";
import { NoPrivileged } from "../../src/privileged/no-privileged.js";
import type { InstallRecord } from "../../src/system/install-record.js";
import { systemLayout } from "../../src/system/layout.js";

const owner = { name: "tester", uid: 4711, gid: 4711, home: "/home/tester" };
const record: InstallRecord = {
  format: 1,
  owner,
  version: "1.0.0",
  build: "abc",
  program: "program-abc-00000000",
  installedAt: "2026-01-01T00:00:00Z",
  service: "none",
  plugins: [],
  vmm: {},
  parents: [],
};

let root: string;
let server: Server;

/** The live system as an install leaves it, below a directory. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "banger-privileges-"));
  const directory = async (
    path: string,
    mode: number,
    uid = 0,
  ): Promise<void> => {
    await mkdir(join(root, path), { recursive: true });
    await chmod(join(root, path), mode);
    await chown(join(root, path), uid, uid);
  };
  await directory(systemLayout.recordDirectory, 0o755);
  await writeFile(join(root, systemLayout.recordFile), "{}", { mode: 0o644 });
  await directory(systemLayout.programsDirectory, 0o755);
  await directory(`${systemLayout.programsDirectory}/program-x/cli`, 0o755);
  await writeFile(
    join(root, systemLayout.programsDirectory, "program-x/cli/banger.js"),
    "",
    { mode: 0o644 },
  );
  await symlink("program-x", join(root, systemLayout.currentProgram));
  await directory(systemLayout.dataDirectory, 0o755);
  await directory(systemLayout.configDirectory, 0o700, owner.uid);
  await directory(systemLayout.stateDirectory, 0o700, owner.uid);
  await directory(systemLayout.jailDirectory, 0o711);
  await directory(systemLayout.cacheDirectory, 0o700, owner.uid);
  await directory(systemLayout.runDirectory, 0o700, owner.uid);
  await directory(systemLayout.helperDirectory, 0o711);
  const socket = join(root, systemLayout.helperSocket);
  server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  await chmod(socket, 0o600);
  await chown(socket, owner.uid, owner.gid);
});

afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(root, { recursive: true, force: true });
});

function helper(): Privileged {
  const privileged = new FakePrivileged(new FakeCommandRunner());
  privileged.kind = "helper";
  return privileged;
}

function check(overrides: Partial<Parameters<typeof privilegeCheck>[0]> = {}) {
  return privilegeCheck({
    privileged: helper(),
    install: () => Promise.resolve(record),
    uid: owner.uid,
    root,
    ...overrides,
  });
}

// Files of other users can be made by root only.
describe.runIf(process.getuid?.() === 0)("a system install", () => {
  it("passes when everything is as promised", async () => {
    expect(await check()).toMatchObject({
      id: "host.privileges",
      status: "pass",
    });
  });

  it.each([
    [
      "the socket is open to others",
      (): Promise<void> => chmod(join(root, systemLayout.helperSocket), 0o666),
      "/run/banger-root/helper.sock has the mode 666 and not 600",
    ],
    [
      "the socket is another user's",
      (): Promise<void> => chown(join(root, systemLayout.helperSocket), 5, 5),
      "/run/banger-root/helper.sock belongs to uid 5 and not to 4711",
    ],
    [
      "the helper's directory is the owner's",
      (): Promise<void> =>
        chown(join(root, systemLayout.helperDirectory), 4711, 4711),
      "/run/banger-root belongs to uid 4711 and not to 0",
    ],
    [
      "the record can be written by others",
      (): Promise<void> => chmod(join(root, systemLayout.recordFile), 0o666),
      "/etc/banger/install.json has the mode 666 and not 644",
    ],
    [
      "jails are gone",
      (): Promise<void> =>
        rm(join(root, systemLayout.jailDirectory), { recursive: true }),
      "/var/lib/banger/jail is not there",
    ],
    [
      "a file stands where the state should be",
      async (): Promise<void> => {
        const path = join(root, systemLayout.stateDirectory);
        await rm(path, { recursive: true });
        await writeFile(path, "");
      },
      "/var/lib/banger/state is no directory",
    ],
    [
      "the owner can change the program",
      (): Promise<void> =>
        chown(
          join(root, systemLayout.programsDirectory, "program-x/cli/banger.js"),
          4711,
          4711,
        ),
      "program-x/cli/banger.js belongs to uid 4711, so root cannot trust it",
    ],
    [
      "everybody can change a directory above the program",
      (): Promise<void> =>
        chmod(dirname(join(root, systemLayout.programsDirectory)), 0o777),
      "/usr/local/lib is writable by others (mode 777), so root cannot trust it",
    ],
    [
      "no program is chosen",
      (): Promise<void> => rm(join(root, systemLayout.currentProgram)),
      "/usr/local/lib/banger/current leads nowhere",
    ],
  ])("fails when %s", async (_, spoil, detail) => {
    await spoil();
    expect(await check()).toMatchObject({
      status: "fail",
      detail: expect.stringContaining(detail) as string,
      fix: "sudo banger system install",
    });
  });

  it("says no more than ten differences", async () => {
    await rm(join(root, "var"), { recursive: true });
    await rm(join(root, "run"), { recursive: true });
    await rm(join(root, "etc"), { recursive: true });
    await rm(join(root, "usr"), { recursive: true });
    const { detail } = await check();
    expect(detail.split("; ")).toHaveLength(11);
    expect(detail).toMatch(/; and 2 more$/);
  });

  it("fails with the next step of a helper that does not answer", async () => {
    const privileged = new FakePrivileged(new FakeCommandRunner());
    privileged.kind = "helper";
    privileged.missing = new PrivilegeMissingError("nobody answers", {
      hint: "sudo banger system restart",
    });
    expect(await check({ privileged })).toMatchObject({
      status: "fail",
      detail: "nobody answers",
      fix: "sudo banger system restart",
    });
  });

  it("fails for a daemon of another user, and for a record that is gone", async () => {
    expect((await check({ uid: 12 })).detail).toBe(
      "this daemon runs as uid 12, not as tester",
    );
    expect(
      (await check({ install: () => Promise.resolve(undefined) })).detail,
    ).toBe("/etc/banger/install.json is gone");
  });

  it("fails for a process that has capabilities", async () => {
    const install = { ...record, owner: { ...owner, uid: 0 } };
    const { detail } = await check({
      uid: 0,
      install: () => Promise.resolve(install),
    });
    expect(detail).toContain(
      "this daemon has capabilities, although it needs none",
    );
  });
});

describe("without a system install", () => {
  it("says who does what needs root", async () => {
    const privileged = new FakePrivileged(new FakeCommandRunner());
    expect(await check({ privileged })).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("this daemon is root") as string,
    });
    expect(await check({ privileged: new NoPrivileged() })).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("nothing runs as root") as string,
    });
  });
});
