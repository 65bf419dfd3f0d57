import { readFile, stat, writeFile } from "node:fs/promises";
import {
  CancelledError,
  CommandFailedError,
  type CommandResult,
} from "@banger/core";
import {
  FakeCommandRunner,
  fakeImage,
  memoryLogger,
} from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { KvmProbe } from "../../src/vmm/kvm-probe.js";
import { QemuProbe } from "../../src/vmm/qemu-probe.js";
import { QemuProgram } from "../../src/vmm/qemu-program.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

const never = new AbortController().signal;
const success = { stdout: "BANGER-PROBE-OK\r\n" };

/** A probe of a device that can be opened, with the answers of its probe boots; the last one repeats. */
async function scripted(
  ...boots: (() => Partial<CommandResult> | Promise<Partial<CommandResult>>)[]
): Promise<{
  probe: (device?: string) => KvmProbe;
  commands: FakeCommandRunner;
  boots: () => number;
  file: string;
  setVersion: (text: string) => void;
}> {
  const directory = await temporaryDirectory();
  const device = `${directory}/kvm`;
  await writeFile(device, "");
  const verdictFile = `${directory}/state/verdict.json`;
  let version = "QEMU emulator version 7.2";
  let count = 0;
  const commands = new FakeCommandRunner().install(
    "qemu-system-x86_64",
    async ({ args }) => {
      if (args[0] === "--version") return { stdout: version };
      count += 1;
      return boots[Math.min(count, boots.length) - 1]?.();
    },
  );
  return {
    probe: (path = device) =>
      new KvmProbe({
        boot: new QemuProbe({
          commands,
          program: new QemuProgram({ commands }),
        }),
        logger: memoryLogger(),
        verdictFile,
        device: path,
      }),
    commands,
    boots: () => count,
    file: verdictFile,
    setVersion: (text) => (version = text),
  };
}

const timedOut = (): never => {
  throw new CommandFailedError(
    { file: "qemu-system-x86_64", args: [] },
    "ran longer than 8 s",
    { stderr: "" },
  );
};

describe("KvmProbe", () => {
  it("boots the image's kernel once and remembers that it worked", async () => {
    const { probe, commands, boots, file } = await scripted(() => success);
    const first = await probe().verdict(fakeImage(), never);
    expect(first).toMatchObject({ works: true });
    expect(await probe().verdict(fakeImage(), never)).toEqual(first);
    expect(boots()).toBe(1);
    expect(await probe().last()).toEqual(first);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const boot = commands.commands.find(({ args }) => args.includes("-kernel"));
    expect(boot?.args).toEqual(
      expect.arrayContaining(["kvm", fakeImage().files.kernel]),
    );
    expect(boot?.args.join(" ")).toContain("banger.probe=1");
    expect(boot?.timeoutMs).toBeLessThanOrEqual(10_000);
  });

  it("remembers why it did not work", async () => {
    const { probe, boots } = await scripted(timedOut);
    const verdict = await probe().verdict(fakeImage(), never);
    expect(verdict.works).toBe(false);
    expect(verdict.reason).toContain("ran longer than 8 s");
    expect(await probe().verdict(fakeImage(), never)).toEqual(verdict);
    expect(boots()).toBe(1);
  });

  it("does not take an end without the mark for success", async () => {
    const { probe } = await scripted(() => ({ stdout: "SeaBIOS\n" }));
    expect((await probe().verdict(fakeImage(), never)).works).toBe(false);
  });

  it("probes again for another QEMU and another guest kernel", async () => {
    const { probe, boots, setVersion } = await scripted(
      timedOut,
      () => success,
    );
    expect((await probe().verdict(fakeImage(), never)).works).toBe(false);
    setVersion("QEMU emulator version 9.0");
    expect((await probe().verdict(fakeImage(), never)).works).toBe(true);
    await probe().verdict(fakeImage({ kernelVersion: "6.12" }), never);
    expect(boots()).toBe(3);
  });

  it("says that the device is missing, and probes again when it is there", async () => {
    const { probe, boots } = await scripted(timedOut, () => success);
    const missing = probe("/nonexistent/kvm");
    const verdict = await missing.verdict(fakeImage(), never);
    expect(verdict).toMatchObject({
      works: false,
      reason: "there is no /nonexistent/kvm",
    });
    expect(await missing.verdict(fakeImage(), never)).toEqual(verdict);
    expect(boots()).toBe(1);
    expect((await probe().verdict(fakeImage(), never)).works).toBe(true);
  });

  it("remembers nothing when it never came to a boot", async () => {
    const { probe, boots, commands } = await scripted(() => success);
    commands.uninstallAll();
    const verdict = await probe().verdict(fakeImage(), never);
    expect(verdict).toMatchObject({
      works: false,
      reason: expect.stringContaining("is not installed") as string,
    });
    expect(await probe().last()).toBeUndefined();
    expect(boots()).toBe(0);
  });

  it("shares one probe boot between starts at the same time", async () => {
    const { probe, boots } = await scripted(() => success);
    const shared = probe();
    const verdicts = await Promise.all(
      [1, 2, 3].map(() => shared.verdict(fakeImage(), never)),
    );
    expect(boots()).toBe(1);
    expect(new Set(verdicts.map(({ checkedAt }) => checkedAt)).size).toBe(1);
  });

  it("remembers nothing when the probe boot was cancelled", async () => {
    const { probe, boots } = await scripted(
      () => {
        throw new CancelledError("qemu-system-x86_64");
      },
      () => success,
    );
    await expect(probe().verdict(fakeImage(), never)).rejects.toMatchObject({
      code: "ERR_CANCELLED",
    });
    expect((await probe().verdict(fakeImage(), never)).works).toBe(true);
    expect(boots()).toBe(2);
  });

  it.each(["", "{", "[]", '{"key": 1, "works": "yes"}'])(
    "takes the damaged verdict file %j for none",
    async (text) => {
      const { probe, boots, file } = await scripted(() => success);
      await probe().verdict(fakeImage(), never);
      await writeFile(file, text);
      expect(await probe().last()).toBeUndefined();
      expect((await probe().verdict(fakeImage(), never)).works).toBe(true);
      expect(boots()).toBe(2);
      expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({
        works: true,
      });
    },
  );
});
