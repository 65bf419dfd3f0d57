import { describe, expect, it } from "vitest";
import { CommandFailedError } from "@banger/core";
import { FakeCommandRunner, fakeVm } from "@banger/core/testing";
import {
  diskStep,
  diskUuid,
  mkfsArguments,
  wantedBytes,
} from "../src/disk-plan.js";
import { workDiskChecks } from "../src/doctor.js";
import {
  readGitIdentity,
  renderGitIdentity,
  setKeys,
  usableValue,
} from "../src/git-identity.js";
import { spaceFindings } from "../src/host-space.js";
import { diskFindings } from "../src/preflight.js";
import { fileSystemBytes } from "../src/superblock.js";

const signal = new AbortController().signal;

describe("diskStep", () => {
  const disk = (
    fileBytes: number,
    fileSystemBytes?: number,
    growing = false,
  ) => ({ fileBytes, fileSystemBytes, growing });
  it.each([
    [undefined, "make"],
    [disk(100, 100), "keep"],
    [disk(200, 200), "keep"],
    [disk(50, 50), "grow"],
    // Only the guest can have made the file system smaller than its file.
    [disk(100, 50), "keep"],
    [disk(100, 50, true), "grow"],
    [disk(100, 100, true), "grow"],
    [disk(50, 1000), "grow"],
    [disk(50, undefined, true), "keep"],
    [disk(50, undefined), "keep"],
  ] as const)("%j needs %s", (facts, step) => {
    expect(diskStep(facts, 100)).toBe(step);
  });
});

it("sizes are whole blocks", () => {
  expect(
    wantedBytes(fakeVm({ spec: { diskSizeBytes: 16 * 2 ** 20 + 4095 } })),
  ).toBe(16 * 2 ** 20);
});

it("the UUID is stable, differs between VMs and is well-formed", () => {
  expect(diskUuid("000000000001")).toBe(diskUuid("000000000001"));
  expect(diskUuid("000000000001")).not.toBe(diskUuid("000000000002"));
  for (let id = 0; id < 50; id++)
    expect(diskUuid(String(id))).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
});

it("an older mke2fs gets no option that it does not know", () => {
  expect(mkfsArguments(fakeVm(), false).join(" ")).not.toContain(
    "assume_storage_prezeroed",
  );
});

describe("fileSystemBytes", () => {
  const superblock = (change: (block: Buffer) => void) => {
    const block = Buffer.alloc(1024);
    block.writeUInt16LE(0xef53, 0x38);
    block.writeUInt32LE(2, 0x18);
    block.writeUInt32LE(100, 0x4);
    change(block);
    return fileSystemBytes(block);
  };
  it("multiplies blocks by their size", () => {
    expect(superblock(() => undefined)).toBe(100 * 4096);
    expect(
      superblock(
        (block) => (
          block.writeUInt32LE(0x80, 0x60),
          block.writeUInt32LE(1, 0x150)
        ),
      ),
    ).toBe((2 ** 32 + 100) * 4096);
  });
  it("understands nothing that is no ext4", () => {
    expect(superblock((block) => block.writeUInt16LE(0, 0x38))).toBeUndefined();
    expect(superblock((block) => block.writeUInt32LE(7, 0x18))).toBeUndefined();
    expect(superblock((block) => block.writeUInt32LE(0, 0x4))).toBeUndefined();
    expect(
      superblock(
        (block) => (
          block.writeUInt32LE(0x80, 0x60),
          block.fill(0xff, 0x150, 0x154)
        ),
      ),
    ).toBeUndefined();
    expect(fileSystemBytes(Buffer.alloc(1023))).toBeUndefined();
  });
});

describe("git identity", () => {
  it("quotes values", () => {
    expect(renderGitIdentity({ name: 'a "b" \\c # ; d', email: "e@f" })).toBe(
      '[user]\n\tname = "a \\"b\\" \\\\c # ; d"\n\temail = "e@f"\n',
    );
    expect(renderGitIdentity({})).toBe("");
  });
  it.each([["a\nb\n"], ["\u001b[31m"], ["  \n"], [""], ["x".repeat(1025)]])(
    "refuses the value %j",
    (value) => {
      expect(usableValue(value)).toBeUndefined();
    },
  );
  it("finds the keys that a configuration sets", () => {
    const text =
      '[core]\n\tname = x\n[User]\n\tEmail = a@b\n[user "sub"]\nname = y\n';
    expect([...setKeys(text)]).toEqual(["email"]);
    expect([...setKeys("[user] name = z")]).toEqual(["name"]);
  });
  it("is empty without git, without values and with a broken configuration", async () => {
    const commands = new FakeCommandRunner();
    expect(await readGitIdentity(commands, signal)).toEqual({});
    commands.install("git", () => ({ exitCode: 1 }));
    expect(await readGitIdentity(commands, signal)).toEqual({});
    commands.install("git", () => ({
      exitCode: 128,
      stderr: "fatal: bad config",
    }));
    expect(await readGitIdentity(commands, signal)).toEqual({});
  });
  it("is not read to the end after a cancel", async () => {
    const commands = new FakeCommandRunner().install("git");
    await expect(
      readGitIdentity(commands, AbortSignal.abort()),
    ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
  });
});

it.each([
  [2 ** 30, []],
  [2 ** 30 - 1, ["warning"]],
  [64 * 2 ** 20, ["warning"]],
  [64 * 2 ** 20 - 1, ["error"]],
])("with %i bytes free the findings are %j", (free, severities) => {
  expect(spaceFindings(free, "/x").map(({ severity }) => severity)).toEqual(
    severities,
  );
});

describe("what is missing", () => {
  const vm = fakeVm();
  const idsWith = async (commands: FakeCommandRunner, isRoot: boolean) =>
    (await diskFindings({ commands, hostFacts: { isRoot } }, vm, signal))
      .filter(({ severity }) => severity === "error")
      .map(({ id }) => id);

  it("is found before a disk is made", async () => {
    const commands = new FakeCommandRunner();
    expect(await idsWith(commands, false)).toEqual([
      "work-disk.tools",
      "work-disk.userns",
    ]);
    expect(await idsWith(commands, true)).toEqual(["work-disk.tools"]);
    commands.install("mke2fs").install("debugfs").install("unshare");
    expect(await idsWith(commands, false)).toEqual([]);
    commands.install("unshare", (command) => {
      throw new CommandFailedError(command, "exited with status 1", {
        stderr: "Operation not permitted",
      });
    });
    expect(await idsWith(commands, false)).toEqual(["work-disk.userns"]);
  });

  it("shows in doctor", async () => {
    const config = { seed: true, git_identity: true };
    const statuses = async (commands: FakeCommandRunner, isRoot = false) =>
      Object.fromEntries(
        (
          await workDiskChecks(
            { commands, hostFacts: { isRoot }, config },
            signal,
          )
        ).map(({ id, status }) => [id, status]),
      );
    const commands = new FakeCommandRunner();
    expect(await statuses(commands)).toEqual({
      "work-disk.tools": "fail",
      "work-disk.userns": "fail",
      "work-disk.git-identity": "warn",
    });
    for (const tool of ["mke2fs", "debugfs", "e2fsck", "resize2fs", "unshare"])
      commands.install(tool);
    commands.install("git", () => ({ stdout: "someone\n" }));
    expect(await statuses(commands)).toEqual({
      "work-disk.tools": "pass",
      "work-disk.userns": "pass",
      "work-disk.git-identity": "pass",
    });
  });
});
