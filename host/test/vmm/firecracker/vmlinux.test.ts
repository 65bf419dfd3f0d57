import { readdirSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { CommandFailedError, isBangerError } from "@banger/core";
import { FakeCommandRunner } from "@banger/core/testing";
import { describe, expect, it } from "vitest";
import { ExecaCommandRunner } from "../../../src/commands/execa-command-runner.js";
import { VmlinuxCache } from "../../../src/vmm/firecracker/vmlinux.js";
import { temporaryDirectory } from "../../files/temporary-directory.js";
import { fakeBzImage, fakeVmlinux, payloads, withSize } from "./fake-kernel.js";

const never = new AbortController().signal;
const real = new ExecaCommandRunner();
const lacks = async (program: string): Promise<boolean> =>
  (await real.find(program)) === undefined;
const lacksProgram = {
  lz4: await lacks("lz4"),
  xz: await lacks("xz"),
  zstd: await lacks("zstd"),
};
/** A bzImage of a distribution: named by who runs the tests, else this host's own. */
const hostKernel =
  process.env["BANGER_TEST_KERNEL"] ??
  readdirSync("/boot")
    .filter((name) => name.startsWith("vmlinuz-"))
    .map((name) => `/boot/${name}`)[0];
const kernel = fakeVmlinux();

/** A kernel file, where its `vmlinux` goes, and a cache. */
async function prepared(
  file: Buffer,
  commands: ConstructorParameters<typeof VmlinuxCache>[0]["commands"] = real,
): Promise<{
  kernelPath: string;
  vmlinuxPath: string;
  cache: VmlinuxCache;
  names: () => Promise<string[]>;
}> {
  const directory = await temporaryDirectory();
  const kernelPath = `${directory}/vmlinuz`;
  await writeFile(kernelPath, file, { mode: 0o640 });
  return {
    kernelPath,
    vmlinuxPath: `${directory}/vmlinux`,
    cache: new VmlinuxCache({ commands }),
    names: async () => (await readdir(directory)).sort(),
  };
}

/** As the kernel's build does it; the format has no form that is easy to write by hand. */
async function packWithXz(data: Buffer): Promise<Buffer> {
  const file = `${await temporaryDirectory()}/kernel`;
  await writeFile(file, data);
  const args = ["-k", "--check=crc32", "--x86", "--lzma2", file];
  await real.run({ file: "xz", args, timeoutMs: 60_000 });
  return withSize(await readFile(`${file}.xz`), data.length);
}

/** Expects the extraction of a kernel file to fail and to leave nothing. */
async function expectRefused(
  file: Buffer,
  commands?: FakeCommandRunner,
): Promise<Error> {
  const { cache, kernelPath, vmlinuxPath, names } = await prepared(
    file,
    commands,
  );
  const error: unknown = await cache
    .ensure(kernelPath, vmlinuxPath, never)
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "ERR_KERNEL_IMAGE" });
  expect(await names()).toEqual(["vmlinuz"]);
  return error as Error;
}

describe("VmlinuxCache", () => {
  it("unpacks a gzip kernel without any program", async () => {
    const file = fakeBzImage(payloads.gzip(kernel));
    const { cache, kernelPath, vmlinuxPath, names } = await prepared(
      file,
      new FakeCommandRunner(),
    );
    expect(await cache.ensure(kernelPath, vmlinuxPath, never)).toBe(
      vmlinuxPath,
    );
    expect(kernel.equals(await readFile(vmlinuxPath))).toBe(true);
    expect((await stat(vmlinuxPath)).mode & 0o777).toBe(0o640);
    expect(await names()).toEqual(["vmlinux", "vmlinuz"]);
  });

  for (const [program, pack] of [
    ["lz4", payloads.lz4],
    ["zstd", payloads.zstd],
    ["xz", packWithXz],
  ] as const)
    it.skipIf(lacksProgram[program])(
      `unpacks a kernel of ${program}`,
      async () => {
        const { cache, kernelPath, vmlinuxPath, names } = await prepared(
          fakeBzImage(await pack(kernel)),
        );
        await cache.ensure(kernelPath, vmlinuxPath, never);
        expect(kernel.equals(await readFile(vmlinuxPath))).toBe(true);
        expect(await names()).toEqual(["vmlinux", "vmlinuz"]);
      },
    );

  it("gives a program only the payload, and a limit on what it writes", async () => {
    const commands = new FakeCommandRunner().install("lz4");
    let given: Buffer | undefined;
    commands.install("prlimit", async ({ args }) => {
      given = await readFile(args.at(-2)!);
      await writeFile(args.at(-1)!, kernel);
      return undefined;
    });
    const payload = payloads.lz4(kernel);
    const { cache, kernelPath, vmlinuxPath, names } = await prepared(
      fakeBzImage(payload, 0),
      commands,
    );
    await cache.ensure(kernelPath, vmlinuxPath, never);
    expect(given?.equals(payload.subarray(0, -4))).toBe(true);
    expect(commands.commands[0]!.args).toContain(
      `--fsize=${String(kernel.length)}`,
    );
    expect(commands.commands[0]!.timeoutMs).toBeLessThanOrEqual(60_000);
    expect(await names()).toEqual(["vmlinux", "vmlinuz"]);
  });

  it("unpacks once, also for two starts at the same time", async () => {
    const commands = new FakeCommandRunner().install("lz4");
    commands.install("prlimit", async ({ args }) => {
      await writeFile(args.at(-1)!, kernel);
      return undefined;
    });
    const { cache, kernelPath, vmlinuxPath } = await prepared(
      fakeBzImage(payloads.lz4(kernel)),
      commands,
    );
    const ensure = (): Promise<string> =>
      cache.ensure(kernelPath, vmlinuxPath, never);
    await Promise.all([ensure(), ensure(), ensure()]);
    const { mtimeMs, ino } = await stat(vmlinuxPath);
    await ensure();
    expect(await stat(vmlinuxPath)).toMatchObject({ mtimeMs, ino });
    expect(commands.commands).toHaveLength(1);
  });

  it("replaces what a crash left, half a file included", async () => {
    const { cache, kernelPath, vmlinuxPath, names } = await prepared(
      fakeBzImage(payloads.gzip(kernel)),
    );
    await writeFile(`${vmlinuxPath}.new`, "half");
    await writeFile(`${vmlinuxPath}.new.gzip`, "half");
    await writeFile(vmlinuxPath, kernel.subarray(0, 1_000));
    await cache.ensure(kernelPath, vmlinuxPath, never);
    expect(kernel.equals(await readFile(vmlinuxPath))).toBe(true);
    expect(await names()).toEqual(["vmlinux", "vmlinuz"]);
  });

  it("takes a kernel that is such a program already as it is", async () => {
    const { cache, kernelPath, vmlinuxPath, names } = await prepared(kernel);
    expect(await cache.ensure(kernelPath, vmlinuxPath, never)).toBe(kernelPath);
    expect(await names()).toEqual(["vmlinuz"]);
  });

  it("names the program that is missing", async () => {
    const { cache, kernelPath, vmlinuxPath, names } = await prepared(
      fakeBzImage(payloads.zstd(kernel)),
      new FakeCommandRunner(),
    );
    await expect(
      cache.ensure(kernelPath, vmlinuxPath, never),
    ).rejects.toMatchObject({
      code: "ERR_TOOL_MISSING",
      message: expect.stringContaining("zstd") as string,
    });
    expect(await names()).toEqual(["vmlinuz"]);
  });

  it("names a kernel that is not there", async () => {
    const { cache, kernelPath, vmlinuxPath } = await prepared(kernel);
    await expect(
      cache.ensure(`${kernelPath}.gone`, vmlinuxPath, never),
    ).rejects.toMatchObject({ code: "ERR_KERNEL_IMAGE" });
  });

  it("can be cancelled, and leaves nothing", async () => {
    const abort = new AbortController();
    const commands = new FakeCommandRunner().install("lz4");
    commands.install("prlimit", async ({ args }) => {
      await writeFile(args.at(-1)!, kernel);
      abort.abort();
      throw new CommandFailedError({ file: "prlimit", args }, "was ended", {
        stderr: "",
      });
    });
    const { cache, kernelPath, vmlinuxPath, names } = await prepared(
      fakeBzImage(payloads.lz4(kernel)),
      commands,
    );
    for (let attempt = 0; attempt < 2; attempt++)
      await expect(
        cache.ensure(kernelPath, vmlinuxPath, abort.signal),
      ).rejects.toMatchObject({ code: "ERR_CANCELLED" });
    expect(await names()).toEqual(["vmlinuz"]);
  });

  it("reports what the program says of a broken payload", async () => {
    const commands = new FakeCommandRunner().install("lz4");
    commands.install("prlimit", () => ({ exitCode: 1, stderr: "corrupt" }));
    const error = await expectRefused(
      fakeBzImage(payloads.lz4(kernel)),
      commands,
    );
    expect((error.cause as Error).message).toContain("corrupt");
  });

  it.skipIf(hostKernel === undefined || lacksProgram.lz4)(
    "unpacks the kernel of a distribution",
    async () => {
      const { cache, kernelPath, vmlinuxPath } = await prepared(
        await readFile(hostKernel!),
      );
      await cache.ensure(kernelPath, vmlinuxPath, never);
      expect((await stat(vmlinuxPath)).size).toBeGreaterThan(10_000_000);
    },
  );
});

describe("a hostile kernel file", () => {
  const saying = (bytes: number): Buffer =>
    withSize(payloads.gzip(kernel).subarray(0, -4), bytes);
  const bzImage = fakeBzImage(payloads.gzip(kernel));
  const changed = (change: (file: Buffer) => void): Buffer => {
    const file = Buffer.from(bzImage);
    change(file);
    return file;
  };
  const offset = 40 * 512 + 716;

  it.each([
    ["is empty", Buffer.alloc(0)],
    ["is shorter than its header", bzImage.subarray(0, 0x240)],
    ["has no boot flag", changed((file) => file.writeUInt16LE(0, 0x1fe))],
    ["has no header", changed((file) => file.write("HdrX", 0x202))],
    [
      "speaks too old a protocol",
      changed((file) => file.writeUInt16LE(0x207, 0x206)),
    ],
    [
      "has its payload outside",
      changed((file) => file.writeUInt32LE(0xffffffff, 0x248)),
    ],
    [
      "has a payload longer than the file",
      changed((file) => file.writeUInt32LE(0xffffffff, 0x24c)),
    ],
    ["has no payload", changed((file) => file.writeUInt32LE(0, 0x24c))],
    ["ends in its payload", bzImage.subarray(0, bzImage.length - 5_000)],
    [
      "is compressed in an unknown way",
      changed((file) => file.fill(0x42, offset, offset + 8)),
    ],
    [
      "has a broken payload",
      changed((file) => file.fill(0x42, offset + 20, offset + 900)),
    ],
    ["says another size to gzip", fakeBzImage(saying(400_000))],
    ["says nothing to gzip", fakeBzImage(saying(0))],
    ["has something else in it", fakeBzImage(gzipSync(Buffer.alloc(300_000)))],
    [
      "has a kernel that is cut short in it",
      fakeBzImage(gzipSync(kernel.subarray(0, 200_000))),
    ],
  ])("that %s is refused", async (_what, file) => {
    await expectRefused(file);
  });

  it("that says less than there is to gzip is unpacked no further", async () => {
    const error = await expectRefused(fakeBzImage(saying(1_000)));
    expect(error.message).toContain("more in it than it says");
  });

  it.each([
    ["less than there is", 299_999, 1],
    ["more than there is", 300_001, 1],
    ["more than any kernel has", 0x2000_0001, 0],
    ["less than any kernel has", 63, 0],
  ])("that says %s is refused", async (_what, bytes, runs) => {
    const commands = new FakeCommandRunner().install("lz4");
    commands.install("prlimit", async ({ args }) => {
      await writeFile(args.at(-1)!, kernel);
      return undefined;
    });
    const payload = withSize(payloads.lz4(kernel).subarray(0, -4), bytes);
    await expectRefused(fakeBzImage(payload), commands);
    expect(commands.commands).toHaveLength(runs);
  });

  it.skipIf(lacksProgram.lz4)(
    "cannot make a program write more than it says",
    async () => {
      const { cache, kernelPath, vmlinuxPath, names } = await prepared(
        fakeBzImage(withSize(payloads.lz4(kernel).subarray(0, -4), 100_000)),
      );
      await expect(
        cache.ensure(kernelPath, vmlinuxPath, never),
      ).rejects.toMatchObject({ code: "ERR_KERNEL_IMAGE" });
      expect(await names()).toEqual(["vmlinuz"]);
    },
  );

  it("is refused with a typed error wherever a byte of its header is changed", async () => {
    const { cache, kernelPath, vmlinuxPath } = await prepared(bzImage);
    for (let seed = 0; seed < 300; seed++) {
      const file = Buffer.from(bzImage);
      const at = [0x1f1, 0x1fe, 0x202, 0x206, 0x248, 0x24c, offset][seed % 7]!;
      file[at + (seed % 4)] = (seed * 37) % 256;
      await writeFile(kernelPath, file);
      await writeFile(vmlinuxPath, "");
      try {
        await cache.ensure(kernelPath, vmlinuxPath, never);
      } catch (error) {
        if (!isBangerError(error)) throw error;
      }
    }
  });
});

describe("an ELF file", () => {
  it.each([
    ["of 32 bits", 4, 1],
    ["of another byte order", 5, 2],
    ["that is no program", 16, 1],
    ["of another processor", 18, 183],
    ["with other program headers", 54, 57],
    ["without program headers", 56, 0],
    ["with program headers outside", 33, 0xff],
    ["with nothing to load", 64, 2],
    ["with a segment outside", 64 + 8 + 3, 1],
  ])("%s is not taken for a kernel", async (_what, at, value) => {
    const file = Buffer.from(kernel);
    file.writeUInt8(value, at);
    await expectRefused(file);
    await expectRefused(fakeBzImage(gzipSync(file)));
  });
});
