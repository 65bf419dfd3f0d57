import { readdir, readFile, writeFile } from "node:fs/promises";
import { FakeCommandRunner, fakeImage, fakeVm } from "@banger/core/testing";
import { expect, it } from "vitest";
import { Qcow2RootDisks } from "../../src/disks/qcow2-root-disks.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const never = new AbortController().signal;

it("makes the overlay once, under its name only when it is whole", async () => {
  const directory = await temporaryDirectory();
  const vm = fakeVm({ runtime: { directory } });
  const commands = new FakeCommandRunner().install(
    "qemu-img",
    async ({ args }) => {
      expect(await readdir(directory)).toEqual([]);
      await writeFile(args.at(-1) ?? "", "overlay");
      return {};
    },
  );
  const disks = new Qcow2RootDisks({ commands });
  await disks.ensure(vm, fakeImage(), never);
  await disks.ensure(vm, fakeImage(), never);
  expect(commands.commands.map(({ args }) => args)).toEqual([
    [
      ...["create", "-q", "-f", "qcow2", "-F", "raw"],
      ...["-b", fakeImage().files.rootfs, `${directory}/root.qcow2.new`],
    ],
  ]);
  expect(disks.drive(vm)).toEqual({
    path: `${directory}/root.qcow2`,
    format: "qcow2",
    readOnly: false,
  });
  expect(await readdir(directory)).toEqual(["root.qcow2"]);
});

it("replaces what an interrupted attempt left, and keeps a disk that a guest has used", async () => {
  const directory = await temporaryDirectory();
  const vm = fakeVm({ runtime: { directory } });
  await writeFile(`${directory}/root.qcow2.new`, "half");
  const commands = new FakeCommandRunner().install("qemu-img", ({ args }) =>
    writeFile(args.at(-1) ?? "", "new", { flag: "wx" }).then(() => ({})),
  );
  const disks = new Qcow2RootDisks({ commands });
  await disks.ensure(vm, fakeImage(), never);
  await writeFile(`${directory}/root.qcow2`, "written by the guest");
  await disks.ensure(vm, fakeImage(), never);
  expect(await readFile(`${directory}/root.qcow2`, "utf8")).toBe(
    "written by the guest",
  );
});

it("makes no disk when qemu-img fails", async () => {
  const directory = await temporaryDirectory();
  const vm = fakeVm({ runtime: { directory } });
  const commands = new FakeCommandRunner().install("qemu-img", () => ({
    exitCode: 1,
    stderr: "no space",
  }));
  await expect(
    new Qcow2RootDisks({ commands }).ensure(vm, fakeImage(), never),
  ).rejects.toMatchObject({ code: "ERR_COMMAND_FAILED" });
  expect(await readdir(directory)).toEqual([]);
});

it("says that the disk is full", async () => {
  const directory = await temporaryDirectory();
  const vm = fakeVm({ runtime: { directory } });
  const commands = new FakeCommandRunner().install("qemu-img", () => ({
    exitCode: 1,
    stderr: "qemu-img: root.qcow2.new: No space left on device",
  }));
  await expect(
    new Qcow2RootDisks({ commands }).ensure(vm, fakeImage(), never),
  ).rejects.toMatchObject({ code: "ERR_DISK_FULL" });
});
