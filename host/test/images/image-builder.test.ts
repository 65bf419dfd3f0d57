import {
  access,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import type { Command } from "@banger/core";
import {
  FakeCommandRunner,
  fakeHostFacts,
  fakeOperation,
} from "@banger/core/testing";
import { describe, expect, it, onTestFinished } from "vitest";
import { ImageBuilder } from "../../src/images/image-builder.js";
import { NoPrivileged } from "../../src/privileged/no-privileged.js";
import { RootNamespace } from "../../src/images/root-namespace.js";
import { readImage } from "../../src/images/image-manifest.js";
import {
  initramfsDirectory,
  readList,
  recipes,
} from "../../src/images/recipe.js";
import { temporaryDirectory } from "../files/temporary-directory.js";
import { fakeElf } from "./fake-elf.js";

const mapping = ["--map-root-user", "--map-auto", "--setuid", "0", "--setgid"];
const mirror = "http://deb.example/debian";

async function setUp(
  isRoot: boolean,
  freeBytes: (path: string) => Promise<number> = () =>
    Promise.resolve(2 * 2 ** 30),
): Promise<{
  build: () => Promise<void>;
  remove: () => Promise<void>;
  /** program and arguments of each command, in order */
  lines: () => string[][];
  commands: FakeCommandRunner;
  staging: string;
  work: string;
}> {
  const [recipe] = recipes;
  if (!recipe) throw new Error("no recipe");
  const id = `${recipe.name}-${randomBytes(6).toString("hex")}`;
  const staging = `${await temporaryDirectory()}/${id}`;
  await mkdir(staging);
  const busybox = `${await temporaryDirectory()}/busybox`;
  await writeFile(busybox, fakeElf(1));
  const commands = new FakeCommandRunner();
  commands
    .install("unshare", ({ args, ...rest }) => {
      const [file = "", ...inner] = args.slice(args.indexOf("--") + 1);
      return commands.play({ ...rest, file, args: inner });
    })
    .install("mmdebstrap", ({ onLine }) => {
      onLine?.("I: installing packages");
      onLine?.("I: success in 3 seconds");
      onLine?.("W: odd");
    })
    .install("tar", ({ args }) =>
      args[0] === "-x" ? unpack(`${work}/tree`) : undefined,
    )
    .install("mv", ({ args }) =>
      writeFile(args[2] ?? "", "kernel").then(() => undefined),
    )
    .install("mke2fs")
    .install("rm", async ({ args }) => {
      await rm(args[2] ?? "", { recursive: true, force: true });
      return undefined;
    });
  const find = commands.find.bind(commands);
  commands.find = (program) =>
    program === "busybox" ? Promise.resolve(busybox) : find(program);
  const builder = new ImageBuilder({
    commands,
    hostFacts: fakeHostFacts({ isRoot }),
    privileged: new NoPrivileged(),
    mirror,
    freeBytes,
  });
  const work = builder.workDirectory(id);
  onTestFinished(() => rm(work, { recursive: true, force: true }));
  return {
    build: () => builder.build(recipe, id, staging, fakeOperation()),
    remove: () => builder.remove(id, staging),
    lines: () => commands.commands.map(({ file, args }) => [file, ...args]),
    commands,
    staging,
    work,
  };
}

async function unpack(tree: string): Promise<undefined> {
  for (const line of await readList(`${initramfsDirectory}/modules`)) {
    const [module = ""] = line.split(" ");
    const path = `${tree}/usr/lib/modules/6.1.0-test/kernel/${module}`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, module);
  }
  return undefined;
}

const programs = (lines: string[][]): (string | undefined)[] =>
  lines.map(([program]) => program);

describe("ImageBuilder", () => {
  it("runs exactly these commands as root", async () => {
    const { build, lines, staging, work } = await setUp(true);
    await build();
    const [mmdebstrap = [], ...rest] = lines();
    expect(mmdebstrap.slice(0, 4)).toEqual([
      ...["mmdebstrap", "--mode=root", "--variant=apt"],
      "--architectures=amd64",
    ]);
    expect(mmdebstrap.slice(-3)).toEqual([
      "bookworm",
      `${work}/root.tar`,
      mirror,
    ]);
    expect(mmdebstrap).toContain(
      `--customize-hook=${work}/recipe/customize.sh "$1"`,
    );
    expect(rest).toEqual([
      [
        ...["tar", "-x", "-p", "--numeric-owner", "--xattrs"],
        ...["--xattrs-include=*", "-f", `${work}/root.tar`],
        ...["-C", `${work}/tree`, "--exclude=./dev/*"],
      ],
      [
        ...["tar", "-c", "--numeric-owner", "--owner=0", "--group=0"],
        ...["-C", `${work}/tree/root`, "-f", `${staging}/work-seed.tar`, "."],
      ],
      ["mv", "--", `${work}/tree/boot/vmlinuz`, `${staging}/vmlinuz`],
      [
        ...["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096"],
        ...["-i", "65536", "-J", "size=32", "-E"],
        "lazy_itable_init=0,lazy_journal_init=0,assume_storage_prezeroed=1,nodiscard,root_owner=0:0",
        ...["-L", "banger", "-d", `${work}/tree`, `${staging}/rootfs.ext4`],
      ],
    ]);
  });

  it("runs the same as a user, in a user namespace", async () => {
    const root = await setUp(true);
    const user = await setUp(false);
    await root.build();
    await user.build();
    const [mmdebstrap = [], ...rest] = user.lines();
    expect(mmdebstrap[1]).toBe("--mode=unshare");
    for (const line of rest) {
      expect(line.slice(0, 1 + mapping.length)).toEqual([
        "unshare",
        ...mapping,
      ]);
      expect(line.slice(1 + mapping.length, 3 + mapping.length)).toEqual([
        "0",
        "--",
      ]);
    }
    const unwrapped = rest.map((line) => line.slice(3 + mapping.length));
    expect(programs(unwrapped)).toEqual(programs(root.lines().slice(1)));
  });

  it("uses no shell, and gives every command a limit and, but for clean-up, the signal", async () => {
    const { build, commands } = await setUp(false);
    await build();
    const isCleanup = ({ args }: Command): boolean => args.includes("rm");
    for (const command of commands.commands) {
      expect(command.file).not.toMatch(/sh$/);
      expect(command.timeoutMs).toBeGreaterThan(0);
      expect(command.signal === undefined).toBe(isCleanup(command));
    }
  });

  it("writes an image that can be read, and removes its work directory", async () => {
    const { build, staging, work } = await setUp(true);
    await build();
    const image = await readImage(staging);
    expect(image).toMatchObject({
      name: "debian-bookworm",
      kernelVersion: "6.1.0-test",
      rootSizeBytes: 8 * 2 ** 30,
    });
    expect((await readdir(staging)).sort()).toEqual(
      ["initrd", "manifest.json", "rootfs.ext4", "vmlinuz"].sort(),
    );
    // Sparse: nothing was written into it.
    expect(image?.sizeBytes).toBeLessThan(2 ** 20);
    await expect(access(work)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("tells how far the installation is", async () => {
    const [recipe] = recipes;
    const { commands, staging } = await setUp(true);
    const operation = fakeOperation();
    const builder = new ImageBuilder({
      commands,
      hostFacts: fakeHostFacts({ isRoot: true }),
      privileged: new NoPrivileged(),
      mirror,
    });
    const id = `debian-${randomBytes(6).toString("hex")}`;
    const work = builder.workDirectory(id);
    onTestFinished(() => rm(work, { recursive: true, force: true }));
    if (recipe)
      await builder
        .build(recipe, id, staging, operation)
        .catch(() => undefined);
    expect(operation.stages).toContain("packages: installing packages");
    expect(operation.stages.join()).not.toContain("success");
  });

  it.each(["staging", "/var/tmp"])(
    "refuses to begin when there is too little space at %s",
    async (where) => {
      const bench = await setUp(true, (path) =>
        Promise.resolve(
          path === (where === "staging" ? bench.staging : where)
            ? 2 * 2 ** 30 - 1
            : 2 ** 40,
        ),
      );
      await expect(bench.build()).rejects.toMatchObject({
        code: "ERR_DISK_FULL",
      });
      expect(bench.lines()).toEqual([]);
      await expect(access(bench.work)).rejects.toMatchObject({
        code: "ENOENT",
      });
    },
  );

  it("says that the disk is full, however much mmdebstrap says after it", async () => {
    const { build, commands } = await setUp(true);
    commands.install("mmdebstrap", ({ onLine }) => {
      onLine?.("dpkg: error: failed to write: No space left on device");
      return { exitCode: 1, stderr: "E: much\n".repeat(10) };
    });
    await expect(build()).rejects.toMatchObject({ code: "ERR_DISK_FULL" });
  });

  it("opens its work directory to others only while apt downloads", async () => {
    const { build, commands, work } = await setUp(true);
    const modes: number[] = [];
    const look = async (): Promise<void> => {
      modes.push((await stat(work)).mode & 0o777);
    };
    commands.install("mmdebstrap", async () => {
      await look();
      return undefined;
    });
    commands.install("mke2fs", async () => {
      await look();
      return undefined;
    });
    await build();
    expect(modes).toEqual([0o755, 0o700]);
  });

  it("removes in a user namespace what it may not remove itself", async () => {
    const file = `${await temporaryDirectory()}/file`;
    await writeFile(file, "");
    const commands = new FakeCommandRunner().install("unshare");
    const namespace = new RootNamespace({
      commands,
      hostFacts: { isRoot: false },
      privileged: new NoPrivileged(),
    });
    await namespace.removeTree(file);
    expect(commands.commands).toEqual([]);
    await expect(access(file)).rejects.toMatchObject({ code: "ENOENT" });
    // Below a file the system refuses.
    await writeFile(file, "");
    await namespace.removeTree(`${file}/x`);
    expect(commands.commands[0]?.args.slice(-4)).toEqual([
      ...["rm", "-rf", "--", `${file}/x`],
    ]);
  });

  it("writes no manifest when a command fails, and removes everything", async () => {
    const { build, remove, commands, staging, work } = await setUp(true);
    commands.install("mke2fs", () => ({ exitCode: 1, stderr: "no space" }));
    await expect(build()).rejects.toMatchObject({ code: "ERR_COMMAND_FAILED" });
    expect(await readdir(staging)).not.toContain("manifest.json");
    await access(work);
    await remove();
    await remove();
    for (const path of [work, staging])
      await expect(access(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it.each([0, 2])("refuses a tree with %d kernels", async (count) => {
    const { build, commands, work } = await setUp(true);
    commands.install("tar", async ({ args }) => {
      if (args[0] !== "-x") return undefined;
      const modules = `${work}/tree/usr/lib/modules`;
      await mkdir(modules, { recursive: true });
      for (let index = 0; index < count; index++)
        await mkdir(`${modules}/${String(index)}`);
      return undefined;
    });
    await expect(build()).rejects.toMatchObject({ code: "ERR_IMAGE_BUILD" });
  });

  it("hands the recipe's packages and a copy of its scripts to mmdebstrap", async () => {
    const { build, commands, lines, work } = await setUp(true);
    let script = "";
    commands.install("mmdebstrap", async () => {
      script = await readFile(`${work}/recipe/customize.sh`, "utf8");
      return undefined;
    });
    await build();
    const directory = recipes[0]?.directory ?? "";
    expect(script).toBe(await readFile(`${directory}/customize.sh`, "utf8"));
    const packages = await readList(`${directory}/packages`);
    expect(lines()[0]).toContain(`--include=${packages.join(",")}`);
  });
});
