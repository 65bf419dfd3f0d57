import { spawnSync } from "node:child_process";
import {
  access,
  constants,
  mkdir,
  readFile,
  writeFile,
} from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  initramfsDirectory,
  readList,
  recipes,
} from "../../src/images/recipe.js";
import { temporaryDirectory } from "../files/temporary-directory.js";

function checkSyntax(script: string): void {
  const { status, stderr } = spawnSync("sh", ["-n", script], {
    encoding: "utf8",
  });
  expect({ script, status, stderr }).toEqual({ script, status: 0, stderr: "" });
}

it("has a script for the initramfs that a shell can read", () => {
  checkSyntax(`${initramfsDirectory}/init`);
});

describe.each(recipes)("$name", ({ directory }) => {
  it.each(["customize.sh", "kernel.sh"])("has %s, executable", async (name) => {
    checkSyntax(`${directory}/${name}`);
    await access(`${directory}/${name}`, constants.X_OK);
  });

  it.each(["packages", "masked-units", "delayed-units"])(
    "lists nothing twice and nothing odd in %s",
    async (name) => {
      const lines = await readList(`${directory}/${name}`);
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.filter((line, at) => lines.indexOf(line) !== at)).toEqual(
        [],
      );
      const pattern =
        name === "packages" ? /^[a-z0-9][a-z0-9.+-]*$/ : /^[\w@-]+\.[a-z]+$/;
      expect(lines.filter((line) => !pattern.test(line))).toEqual([]);
    },
  );

  it("masks no unit that it delays", async () => {
    const masked = await readList(`${directory}/masked-units`);
    const delayed = await readList(`${directory}/delayed-units`);
    expect(delayed.filter((unit) => masked.includes(unit))).toEqual([]);
  });
});

it("loads each module of the initramfs once", async () => {
  const modules = await readList(`${initramfsDirectory}/modules`);
  const names = modules.map((path) => path.slice(path.lastIndexOf("/") + 1));
  expect(new Set(names).size).toBe(names.length);
  const pattern = /^[a-z0-9_/-]+\.ko( 0x[0-9a-f]{4})?$/;
  expect(modules.filter((path) => !pattern.test(path))).toEqual([]);
});

describe("the initramfs's look for virtio devices", () => {
  /** The script's own function, over a directory in place of sysfs. */
  const hasDevice = async (
    ids: readonly string[],
    wanted: string,
  ): Promise<boolean> => {
    const directory = await temporaryDirectory();
    for (const [at, id] of ids.entries()) {
      await mkdir(`${directory}/virtio${String(at)}`);
      await writeFile(`${directory}/virtio${String(at)}/device`, `${id}\n`);
    }
    const script = await readFile(`${initramfsDirectory}/init`, "utf8");
    const [body] = /^has_device\(\) \{\n[^]*?^\}\n/m.exec(script) ?? [];
    const { status, stderr } = spawnSync(
      "sh",
      [
        "-c",
        `${body?.replace("/sys/bus/virtio/devices", directory) ?? ""}has_device ${wanted}`,
      ],
      { encoding: "utf8" },
    );
    expect(stderr).toBe("");
    return status === 0;
  };

  it("finds one of the kind, whatever else is there, and none where none is", async () => {
    expect(await hasDevice(["0x0002", "0x0013", "0x0001"], "0x0013")).toBe(
      true,
    );
    expect(await hasDevice(["0x0002", "0x0001"], "0x0013")).toBe(false);
    expect(await hasDevice([], "0x0013")).toBe(false);
  });
});

describe("the last step of a guest's shutdown", () => {
  const hook = `${recipes[0]?.directory ?? ""}/rootfs/usr/lib/systemd/system-shutdown/banger`;
  /** What it does, with `echo` in place of a real reboot. */
  const run = async (verb: string, cmdline: string): Promise<string> => {
    const directory = await temporaryDirectory();
    await writeFile(`${directory}/cmdline`, cmdline);
    const script = (await readFile(hook, "utf8"))
      .replace("/proc/cmdline", `${directory}/cmdline`)
      .replace("exec /bin/systemctl", "echo");
    const { status, stdout, stderr } = spawnSync("sh", ["-s", verb], {
      input: script,
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout.trim();
  };

  it("is one that systemd runs", async () => {
    checkSyntax(hook);
    await access(hook, constants.X_OK);
  });

  it.each([
    ["poweroff", "console=ttyS0 reboot=k panic=-1\n", "reboot --force --force"],
    ["halt", "reboot=t\n", "reboot --force --force"],
    ["poweroff", "console=ttyS0 panic=-1\n", ""],
    ["poweroff", "noreboot=k\n", ""],
    ["reboot", "reboot=k\n", ""],
    ["kexec", "reboot=k\n", ""],
  ])("with %s and %j does %j", async (verb, cmdline, does) => {
    expect(await run(verb, cmdline)).toBe(does);
  });
});

it("starts the agent on the port that it has, else on vsock, never on both", async () => {
  const units = `${recipes[0]?.directory ?? ""}/rootfs/etc/systemd/system`;
  const conditions = async (name: string): Promise<readonly string[]> => {
    const lines = await readList(`${units}/${name}.service`);
    return lines.filter((line) => line.startsWith("Condition"));
  };
  const port = "/dev/virtio-ports/org.qemu.guest_agent.0";
  expect(await conditions("qemu-guest-agent")).toEqual([
    `ConditionPathExists=${port}`,
  ]);
  expect(await conditions("qemu-guest-agent-vsock")).toEqual([
    "ConditionPathExists=/dev/vsock",
    `ConditionPathExists=!${port}`,
  ]);
});
